"""One batch over providers of all four protocols."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from jobs.tables import Batch, Slice
from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result, nanos
from tests.support.system import PATHS, SMALL, Json, System, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS_EACH = 150


@pytest.fixture(scope="module")
def four_providers(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("four")
    with running_system(folder, shared_simulator.url, tuple(PATHS)) as system:
        system.start_up()
        yield system


def mixed_jobs() -> Iterator[Json]:
    """Jobs for the four providers in turn, by the names of providers and models."""
    by_provider = [lines(JOBS_EACH, f"{name}/{SMALL}", prefix=name) for name in PATHS]
    for jobs in zip(*by_provider, strict=True):
        yield from jobs


def queues_of(system: System, batch_id: str) -> dict[str, int]:
    """How many jobs the batch's slices have in each queue."""
    statement = (
        select(Slice.queue, Slice.jobs)
        .join(Batch, Batch.id == Slice.batch_id)  # type: ignore[arg-type]  # a column's comparison
        .where(Batch.ref == batch_id)
    )
    jobs: dict[str, int] = {}
    with system.database() as database, database.read() as session:
        for queue, count in session.exec(statement):
            jobs[queue] = jobs.get(queue, 0) + count
    return jobs


def test_jobs_of_four_protocols_go_to_their_providers_and_every_account_is_right(
    four_providers: System, simulator: "Simulator"
) -> None:
    batch_id = four_providers.submit(mixed_jobs())
    batch = four_providers.wait(batch_id)

    assert batch["state"] == "completed"
    results = each_job_has_one_result(four_providers, batch_id, JOBS_EACH * len(PATHS))
    each_answer_is_its_jobs(results)
    books_agree(four_providers, batch, simulator)
    assert {(r["custom_id"].split("-")[0], r["provider"], r["model"]) for r in results} == {
        (name, name, SMALL) for name in PATHS
    }
    assert queues_of(four_providers, batch_id) == dict.fromkeys(PATHS, JOBS_EACH)

    rows = simulator.rows()
    sums = {row["provider"]: row for row in four_providers.usage(by="provider")["data"]}
    assert sums.keys() == PATHS.keys()
    for name, row in sums.items():
        theirs = [seen for seen in rows if seen["protocol"] == name]
        assert row["attempts"] == len(theirs) == JOBS_EACH
        assert nanos(row["cost_usd"]) == sum(seen["cost_nanos"] for seen in theirs)
        assert row["output_tokens"] == sum(seen["output_tokens"] for seen in theirs)


STORM = [
    *({"kind": kind, "probability": 0.02, "wait_s": 0.1} for kind in ("429", "503", "529")),
    *(
        {"kind": kind, "probability": 0.01}
        for kind in ("500", "reset", "close", "cut", "html200", "badjson")
    ),
]
"""What may happen to any call; one in nine meets something."""


def test_a_storm_over_four_providers_loses_no_job_and_no_nano_dollar(
    four_providers: System, simulator: "Simulator"
) -> None:
    simulator.faults(*STORM, latency="uniform:5,50", output_tokens="5-40")
    batch_id = four_providers.submit(mixed_jobs())
    batch = four_providers.wait(batch_id)

    assert simulator.ledger()["requests"] > JOBS_EACH * len(PATHS)
    each_answer_is_its_jobs(
        each_job_has_one_result(four_providers, batch_id, JOBS_EACH * len(PATHS))
    )
    assert batch["unknown_attempts"] > 0
    books_agree(four_providers, batch, simulator)
