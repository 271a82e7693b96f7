"""What must hold after every batch, whatever happened to it: the simulator's account is the judge."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlmodel import select

from jobs.money import parse_usd
from jobs.states import Outcome
from jobs.tables import Attempt, Batch
from tests.support.system import Json, System

if TYPE_CHECKING:
    from tests.support.simulator import Simulator


def each_job_has_one_result(system: System, batch_id: str, jobs: int) -> list[Json]:
    """Assert it, by both orders of reading, and return the results in the order of submission."""
    results = system.results(batch_id, order="input")
    assert [result["seq"] for result in results] == list(range(jobs))
    assert len({result["custom_id"] for result in results}) == jobs
    arrived = system.results(batch_id, order="finished")
    assert Counter(result["seq"] for result in arrived) == Counter(range(jobs))
    return results


def each_answer_is_its_jobs(results: list[Json]) -> None:
    """Assert that every job succeeded with the answer to its own prompt, which repeats its mark."""
    assert {result["status"] for result in results} == {"succeeded"}
    strangers = [r for r in results if not r["output"].startswith(f"[job:{r['custom_id']}] ")]
    assert not strangers, strangers[:3]


def nanos(amount_usd: str) -> int:
    """Return an amount of the API in nano-dollars."""
    return parse_usd(amount_usd)


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """What the database holds of an attempt."""

    seq: int
    outcome: str | None
    reserved_nanos: int
    cost_nanos: int | None


def attempts_of(system: System, batch_id: str) -> list[AttemptRow]:
    """Return the attempts of a batch; no interface shows the failed ones."""
    statement = (
        select(Attempt.seq, Attempt.outcome, Attempt.reserved_nanos, Attempt.cost_nanos)
        .join(Batch, Batch.id == Attempt.batch_id)  # type: ignore[arg-type]  # a column's comparison
        .where(Batch.ref == batch_id)
    )
    with system.database() as database, database.read() as session:
        return [AttemptRow(*row) for row in session.exec(statement)]


def books_agree(system: System, batch: Json, simulator: "Simulator") -> None:
    """Assert that our tokens and money are the simulator's, on what it answered, to the last one.

    The simulator must have worked for this batch alone.

        ours = what the simulator answered, each job once + our unknown attempts at their worst case

    An answer that the simulator gave twice for a job is one that we never got: its attempt is among
    the unknown ones of that very job.
    """
    attempts = attempts_of(system, batch["id"])
    unknown = [attempt for attempt in attempts if attempt.outcome == Outcome.UNKNOWN]
    worst_nanos = sum(attempt.reserved_nanos for attempt in unknown)
    answered = [row for row in simulator.rows() if row["answered"]]
    once = {row["job_id"]: row for row in answered}

    assert nanos(batch["cost_usd"]) == sum(r["cost_nanos"] for r in once.values()) + worst_nanos
    assert sum(attempt.cost_nanos or 0 for attempt in attempts) == nanos(batch["cost_usd"])
    assert batch["unknown_attempts"] == len(unknown)
    assert nanos(batch["reserved_usd"]) == 0
    usage = batch["usage"]
    assert usage["output_tokens"] == sum(row["output_tokens"] for row in once.values())
    assert sum(
        usage[name] for name in ("input_tokens", "cached_input_tokens", "cache_write_tokens")
    ) == sum(row["input_tokens"] for row in once.values())

    ids = {result["seq"]: result["custom_id"] for result in system.results(batch["id"])}
    unknown_of = Counter(ids[attempt.seq] for attempt in unknown)
    answers_of = Counter(row["job_id"] for row in answered)
    assert all(count - 1 <= unknown_of[job_id] for job_id, count in answers_of.items())
