"""The deadline of a run on both databases: told if it can't be met, and what its stages hurry by."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlmodel import col

from api.pipelines.telling import run_shape
from jobs.clock import utcnow
from jobs.configuration import Configuration
from jobs.states import Priority, RunState
from jobs.store import Database
from jobs.store.leases import feeding
from jobs.store.money import receipts
from jobs.store.runs import run_endings
from jobs.tables import Run
from tests.support.nights import Night, answer_all, night
from tests.support.rows import lease_of, set_batch
from workers.clock.timekeeper import Timekeeper
from workers.pipelines import judging

MINUTE = timedelta(minutes=1)

ONE_A_SECOND = Configuration.model_validate(
    {
        "providers": {
            "sim": {
                "protocol": "openai",
                "base_url": "http://127.0.0.1:9/v1",
                "models": ["sim-*"],
                "pools": [{"limits": {"rpm": 60}}],
            }
        }
    }
)

TOML = """\
name = "articles"
model = "sim-small"
priority = "bulk"
[source]
files = "in.jsonl"
[[stages]]
name = "summary"
kind = "generation"
template = "Summarise: {{ row.id }}"
[[stages]]
name = "title"
kind = "generation"
template = "A title: {{ summary }}"
"""


def begun(database: Database, folder: Path, minutes: float, toml: str = TOML) -> tuple[Night, Run]:
    """A run of 60 rows through two stages, at a call a second, that is wanted in so many minutes."""
    rows = [{"id": f"a{number}"} for number in range(60)]
    tonight = night(database, folder, toml, rows, ONE_A_SECOND)
    run = tonight.begin()
    wanted = {"deadline": utcnow() + minutes * MINUTE}
    with database.write() as session:
        session.connection().execute(update(Run).where(col(Run.id) == run.id).values(wanted))
    for _ in range(3):
        tonight.conductor.look()
    return tonight, tonight.run(run.ref)


def urgencies(tonight: Night, run: Run) -> list[str | None]:
    Timekeeper(tonight.database).look()
    return [batch.urgency for batch in tonight.batches(run)]


def test_a_run_that_cannot_be_in_time_is_told_so_and_goes_on(
    database: Database, tmp_path: Path
) -> None:
    tonight, run = begun(database, tmp_path, 1.5)
    assert run.state == RunState.RUNNING
    assert (run.quoted_jobs, run.quoted_s) == (120, 120.0)
    for part in (
        "60 rows can't be ready by",
        "at the present limits the earliest is",
        "about 4",  # of the rows
        "rpm of sim/main at",
    ):
        assert part in (run.unreachable or "")
    assert run_shape(run, {}, utcnow()).deadline_unreachable == run.unreachable
    with database.read() as session:
        found = receipts.of_run(session, run)
    assert (found.deadlines.open, found.deadlines.unreachable) == (1, run.unreachable)
    assert urgencies(tonight, run) == [Priority.HIGH]
    # Taken up again it is judged by what it is then: nothing can't be ready.
    tonight.go_on(lambda line: line["custom_id"])
    with database.write() as session:
        run_endings.retry(session, 1, run.ref)
    tonight.conductor.look()
    assert tonight.run(run.ref).unreachable is None


@pytest.mark.parametrize(
    "toml",
    [
        TOML.replace('name = "title"', 'name = "title"\nwhere = "summary | length > 3"'),
        TOML.replace('name = "title"', 'name = "title"\nreuse = "7d"'),
    ],
    ids=["a condition may leave rows out", "answers may be there"],
)
def test_what_may_be_in_time_is_not_told_as_late(
    database: Database, tmp_path: Path, toml: str
) -> None:
    _, run = begun(database, tmp_path, 1.5, toml)
    assert run.judged_at is not None
    assert run.unreachable is None


def test_a_deadline_that_can_not_be_reckoned_holds_up_no_run(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_about: object) -> None:
        raise RuntimeError("no such model any more")

    monkeypatch.setattr(judging, "reach", broken)
    tonight, run = begun(database, tmp_path, 1.5)
    assert run.judged_at is not None
    assert run.unreachable is None
    assert sum(batch.total_jobs for batch in tonight.batches(run)) == run.rows


def test_the_batches_of_a_run_hurry_for_the_stages_after_them_open_ones_as_well(
    database: Database, tmp_path: Path
) -> None:
    tonight, run = begun(database, tmp_path, 10)
    assert (run.unreachable, urgencies(tonight, run)) == (None, [None])
    # In three minutes its own sixty calls would have time enough; with those that follow they have not.
    (summary,) = tonight.batches(run)
    set_batch(database, summary.ref, deadline=utcnow() + 3 * MINUTE, quoted_s=60.0)
    assert urgencies(tonight, run) == [Priority.HIGH]
    set_batch(database, summary.ref, deadline=utcnow() + 10 * MINUTE)
    lease_of(database, summary.ref, 0)
    answer_all(database, lambda line: line["custom_id"])
    tonight.conductor.look()
    _, title = tonight.batches(run)
    assert title.is_open
    assert urgencies(tonight, run) == [None, None]
    # Three of the first stage and sixty of this one are to come.
    set_batch(database, title.ref, deadline=utcnow() + 1.7 * MINUTE)
    assert urgencies(tonight, run) == [None, Priority.HIGH]


def test_outside_of_its_hours_no_stage_of_a_run_is_fed(database: Database, tmp_path: Path) -> None:
    opens = utcnow() + timedelta(hours=2)
    hours = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
    toml = TOML.replace("[source]", f'run_window = "{hours}"\n[source]')
    tonight, run = begun(database, tmp_path, 300, toml)
    (batch,) = tonight.batches(run)
    assert batch.total_jobs == 60
    assert (batch.held_until or run.due_at) > utcnow() + timedelta(hours=1)
    assert (batch.waiting_for or "").startswith(f"its hours: {hours} UTC")
    with database.write() as session:
        assert feeding.feed(session, "sim") == []
