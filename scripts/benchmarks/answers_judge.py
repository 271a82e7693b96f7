"""What a batch came to whose provider lied, by the provider's own account.

The simulator knows the honest answer to each call, and in which way it said another. Our checks are not
asked: a job's output is right if it is the honest answer, and wrong otherwise.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.simulator.model import fingerprint
from scripts.simulator.translation import Translation, translate

JsonObject = dict[str, Any]

LANGUAGES = {"fr": "French", "de": "German", "es": "Spanish", "it": "Italian"}

CUT = "length"
"""The lie of an answer that stops early."""


@dataclass(slots=True)
class Tally:
    """What came of the jobs of which the first lie was this one; calls and costs are of all such lies.

    `wasted_nanos` is what those calls cost whose answers were no job's output. A `bad` answer passed for a
    good one.
    """

    calls: int = 0
    jobs: int = 0
    repaired: int = 0
    asked_again: int = 0
    given_room: int = 0
    escalated: int = 0
    bad: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    wasted_nanos: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """`tallies` by lie; empty is honesty.

    `refusals` are the jobs of honest answers that were not taken, each as often as that happened.
    `useful_nanos` is what the answers cost that were, `examples` are bad answers that passed.
    """

    jobs: int
    succeeded: int
    tallies: Mapping[str, Tally]
    refusals: tuple[str, ...]
    useful_nanos: int
    examples: tuple[str, ...]

    @property
    def bad(self) -> int:
        """Answers that passed and are not what was asked for."""
        return sum(tally.bad for tally in self.tallies.values())

    @property
    def wasted_nanos(self) -> int:
        """What the calls cost whose answers were not taken."""
        return sum(tally.wasted_nanos for tally in self.tallies.values())


def judge(
    lines: Iterable[JsonObject], results: Iterable[JsonObject], rows: Iterable[JsonObject]
) -> Judgement:
    """Return what came of each job.

    Args:
        lines: of the batch.
        results: of all its jobs, in any order.
        rows: of the simulator's account, in the order of arrival.
    """
    calls: dict[str, list[JsonObject]] = defaultdict(list)
    for row in rows:
        if row["answered"]:
            calls[row["job_id"]].append(row)
    found = {result["custom_id"]: result for result in results}
    bench = _Bench()
    for line in lines:
        bench.hear(line, found[line["custom_id"]], calls[line["custom_id"]])
    return Judgement(
        bench.jobs,
        bench.succeeded,
        dict(bench.tallies),
        tuple(bench.refusals),
        bench.useful_nanos,
        tuple(bench.examples),
    )


def is_honest(line: JsonObject, output: Any, truths: set[int]) -> bool:
    """Whether an output is the honest answer to a line; `truths` are the account's of its calls."""
    if line.get("kind") == "translation":
        return bool(output == _translated(line))
    if line.get("evidence"):
        quotes = [{"path": one["path"], "quote": one["quote"]} for one in output["evidence"]]
        output = {"value": output["value"], "evidence": quotes}
    return fingerprint(output) in truths


def _translated(line: JsonObject) -> str:
    task = Translation(line["text"], LANGUAGES[line["target"]], line.get("glossary", {}))
    return translate(task)


class _Bench:
    """Adds up, job by job."""

    def __init__(self) -> None:
        self.tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self.jobs = self.succeeded = self.useful_nanos = 0
        self.refusals: list[str] = []
        self.examples: list[str] = []

    def hear(self, line: JsonObject, result: JsonObject, calls: Sequence[JsonObject]) -> None:
        self.jobs += 1
        is_good = result["status"] == "succeeded"
        self.succeeded += is_good
        lies = [row["lie"] for row in calls if row["lie"]]
        taken = _taken(line, calls, is_good=is_good)
        tally = self.tallies[lies[0] if lies else ""]
        tally.jobs += 1
        if not is_good:
            code = result["error"]["code"]
            tally.failed[code] = tally.failed.get(code, 0) + 1
        elif is_honest(line, result["output"], {row["truth"] for row in calls}):
            if lies:
                _note_recovery(tally, calls, taken)
        else:
            tally.bad += 1
            self.examples.append(f"{result['custom_id']}, {lies}: {result['output']!r}")
        for number, row in enumerate(calls):
            self._count(row, is_taken=number in taken)

    def _count(self, row: JsonObject, *, is_taken: bool) -> None:
        tally = self.tallies[row["lie"]]
        tally.calls += 1
        if is_taken:
            self.useful_nanos += row["cost_nanos"]
            return
        tally.wasted_nanos += row["cost_nanos"]
        if not row["lie"]:
            self.refusals.append(row["job_id"])


def _taken(line: JsonObject, calls: Sequence[JsonObject], *, is_good: bool) -> set[int]:
    """Return which calls brought the output of a part: the last one for each, but of a failed job's last.

    Parts of a translation are told apart by what is honest to say to them, however often they are asked
    for. Other jobs here have one part.
    """
    last: dict[int, int] = {}
    for number, row in enumerate(calls):
        last[row["truth"] if line.get("kind") == "translation" else 0] = number
    found = set(last.values())
    return found if is_good else found - {len(calls) - 1}


def _note_recovery(tally: Tally, calls: Sequence[JsonObject], taken: set[int]) -> None:
    if any(calls[number]["lie"] for number in taken):
        tally.repaired += 1
    elif calls[-1]["model"] != calls[0]["model"]:
        tally.escalated += 1
    elif any(row["lie"] == CUT for row in calls):
        tally.given_room += 1
    else:
        tally.asked_again += 1
