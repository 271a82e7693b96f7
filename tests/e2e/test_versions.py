"""Older processes beside newer ones: what they have no word for they leave alone, and run the rest."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from jobs.queues import RUN_SLICE, make_celery
from tests.e2e.judging import each_answer_is_its_jobs, each_job_has_one_result
from tests.support.eventually import eventually
from tests.support.system import System, finished, lines, wait_for_log
from workers.runtime import UNREADABLE

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 600
FEW = 10


def write(system: System, *statements: str, **values: Any) -> None:
    """Write to the rows what no version of now would, past the constraints of now."""
    with system.database() as database, database.engine.begin() as connection:
        if database.is_sqlite:
            connection.execute(text("PRAGMA ignore_check_constraints = ON"))
        else:
            for name in ("priority_is_known", "state_is_known"):
                drop = f"ALTER TABLE batch DROP CONSTRAINT IF EXISTS ck_batch_ck_batch_{name}"
                connection.execute(text(drop))
        for statement in statements:
            connection.execute(text(statement), values)


def test_a_newer_schema_and_newer_messages_stop_no_worker_that_runs(
    spread_system: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:50")
    worker = spread_system.start_worker()
    batch_id = spread_system.submit(lines(JOBS))
    spread_system.wait_finished(batch_id, 50)

    write(
        spread_system,
        "ALTER TABLE batch ADD COLUMN newer TEXT",
        "ALTER TABLE slice ADD COLUMN newer INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE attempt ADD COLUMN newer TEXT",
        "ALTER TABLE result ADD COLUMN newer TEXT",
        "UPDATE alembic_version SET version_num = '9999'",
    )
    celery = make_celery(spread_system.settings)
    for slice_no in range(JOBS // 100):
        celery.send_task(RUN_SLICE, args=[batch_id, slice_no, {"v": 2}], queue="openai")
        celery.send_task("tidemill.run_chunk", kwargs={"of": batch_id}, queue="openai")
    also = spread_system.submit(lines(FEW, prefix="also"))

    batch = spread_system.wait(batch_id)
    assert spread_system.wait(also)["counts"]["succeeded"] == FEW
    each_answer_is_its_jobs(each_job_has_one_result(spread_system, batch_id, JOBS))
    assert simulator.ledger()["answered"] == JOBS + FEW
    wait_for_log(worker, "tidemill.run_chunk")
    assert worker.exit_status is None
    # One that starts now is refused, and says why.
    late = spread_system.start("worker", "--name", "late", name="late")
    assert late.wait_ended(40.0) != 0
    assert "newer version" in late.log()
    assert batch["unknown_attempts"] == 0


def test_what_only_a_newer_worker_can_read_is_left_to_it(
    spread_system: System, simulator: "Simulator"
) -> None:
    named: dict[str, str] = {
        name: spread_system.submit(lines(FEW, prefix=name))
        for name in ("kind", "line", "defaults", "priority", "state", "plain")
    }
    newer = [
        "UPDATE job SET kind = 'embedding' WHERE seq = 0"
        " AND batch_id = (SELECT id FROM batch WHERE ref = :kind)",
        'UPDATE job SET request = replace(request, \'"prompt"\', \'"effort": 1, "prompt"\')'
        " WHERE seq = 0 AND batch_id = (SELECT id FROM batch WHERE ref = :line)",
        "UPDATE batch SET defaults = replace(defaults, '{', '{\"effort\": 1, ')"
        " WHERE ref = :defaults",
        "UPDATE batch SET priority = 'urgent' WHERE ref = :priority",
        "UPDATE batch SET state = 'archiving' WHERE ref = :state",
    ]
    write(spread_system, *newer, **named)

    worker = spread_system.start_worker()
    assert spread_system.wait(named["plain"])["counts"]["succeeded"] == FEW
    for name in ("kind", "line"):
        spread_system.wait_finished(named[name], FEW - 1)
    waits = waiting_for(spread_system, named)
    eventually(lambda: "embedding" in waits("kind"), 20.0, "the kind is told")
    eventually(lambda: "effort" in waits("line"), 20.0, "the field is told")
    for name in ("defaults", "priority"):
        eventually(lambda name=name: UNREADABLE in waits(name), 20.0, f"the {name} is told")  # type: ignore[misc]
    left = {name: finished(spread_system.batch(ref)) for name, ref in named.items()}
    assert left == {
        "kind": FEW - 1,
        "line": FEW - 1,
        "defaults": 0,
        "priority": 0,
        "state": 0,
        "plain": FEW,
    }
    assert worker.exit_status is None

    # As a newer worker sees them.
    write(
        spread_system,
        "UPDATE job SET kind = 'generation'",
        "UPDATE job SET request = replace(request, '\"effort\": 1, ', '')",
        "UPDATE batch SET defaults = replace(defaults, '\"effort\": 1, ', '') WHERE ref = :defaults",
        "UPDATE batch SET priority = 'normal' WHERE ref = :priority",
        "UPDATE batch SET state = 'running' WHERE ref = :state",
        "UPDATE slice SET not_before = NULL",
        **named,
    )
    for name, ref in named.items():
        assert spread_system.wait(ref)["counts"]["succeeded"] == FEW, name
        books = spread_system.batch(ref)
        assert books["unknown_attempts"] == 0
    assert simulator.ledger()["answered"] == FEW * len(named)


def waiting_for(system: System, named: dict[str, str]) -> Callable[[str], str]:
    return lambda name: system.batch(named[name])["waiting_for"] or ""
