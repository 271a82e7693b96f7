"""Runs of schedules: begun once when they are due, by whoever looks; missed ones are caught up once."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.configuration import Configuration, Provider
from jobs.pipelines.folder import PipelineFolder
from jobs.routing import Catalogue
from jobs.store import Database
from jobs.store.projects import ensure_project
from jobs.store.runs import runs
from tests.support.eventually import eventually
from workers.pipelines.starting import Starter

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)

NIGHTLY = """
name = "nightly"
model = "sim/small"
schedule = { cron = "0 22 * * *", zone = "Europe/Paris", overlap = "queue" }
source = { files = "in/{date}/*.jsonl" }
[[stages]]
name = "summary"
kind = "generation"
template = "{{ row.text }}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pipelines"
    path.mkdir()
    (path / "nightly.toml").write_text(NIGHTLY)
    return path


@pytest.fixture
def starter(database: Database, folder: Path) -> Starter:
    provider = Provider.model_validate({"protocol": "openai", "base_url": "http://127.0.0.1:9"})
    catalogue = Catalogue(Configuration(providers={"sim": provider}))
    with database.write() as session:
        ensure_project(session, "default")
    return Starter(database, PipelineFolder(folder, catalogue))


SetClock = Callable[[datetime], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    def set_clock(moment: datetime) -> None:
        monkeypatch.setattr("jobs.store.runs.run_schedules.now", lambda _session: moment)

    set_clock(NOON)
    return set_clock


def begun(database: Database) -> list[datetime]:
    with database.read() as session:
        found = runs.page(session, 1, pipeline="nightly", before=None, limit=10)
    return [run.due_at for run in reversed(found)]


def test_what_was_due_before_a_schedule_was_known_is_not_begun(
    database: Database, starter: Starter, set_clock: SetClock
) -> None:
    assert starter.begin_due() == 0
    set_clock(NOON + timedelta(seconds=30))
    assert starter.begin_due() == 0
    assert begun(database) == []


def test_a_run_is_begun_once_when_it_is_due(
    database: Database, starter: Starter, set_clock: SetClock
) -> None:
    starter.begin_due()
    due = datetime(2026, 11, 28, 21, tzinfo=UTC)
    set_clock(due - timedelta(microseconds=1))
    assert starter.begin_due("nightly") == 0
    set_clock(due)
    assert starter.begin_due("nightly") == 1
    assert starter.begin_due("nightly") == 0
    assert begun(database) == [due]


def test_of_several_missed_times_the_newest_is_caught_up(
    database: Database, starter: Starter, set_clock: SetClock
) -> None:
    starter.begin_due()
    set_clock(NOON + timedelta(days=5))
    assert [starter.begin_due(), starter.begin_due()] == [1, 0]
    assert begun(database) == [datetime(2026, 12, 2, 21, tzinfo=UTC)]


def test_two_that_look_at_once_begin_one_run(
    database: Database, starter: Starter, set_clock: SetClock
) -> None:
    starter.begin_due()
    set_clock(NOON + timedelta(days=1))
    together = threading.Barrier(4)
    counts: list[int] = []

    def look() -> None:
        together.wait()
        counts.append(starter.begin_due())

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 0, 0, 1]
    assert len(begun(database)) == 1


def test_a_changed_schedule_is_known_anew(
    database: Database, starter: Starter, set_clock: SetClock, folder: Path
) -> None:
    starter.begin_due()
    set_clock(NOON + timedelta(hours=8))
    (folder / "nightly.toml").write_text(NIGHTLY.replace("0 22", "0 13"))
    assert [starter.begin_due(), starter.begin_due()] == [0, 0]
    set_clock(NOON + timedelta(days=1, hours=1))
    assert starter.begin_due() == 1
    assert begun(database) == [datetime(2026, 11, 29, 12, tzinfo=UTC)]


def test_a_broken_file_keeps_no_other_from_its_work(
    starter: Starter, set_clock: SetClock, folder: Path
) -> None:
    (folder / "broken.toml").write_text(NIGHTLY.replace("kind =", "kinds ="))
    (folder / "double.toml").write_text(NIGHTLY)
    starter.begin_due()
    set_clock(NOON + timedelta(days=1))
    assert starter.begin_due() == 1
    broken, first, second = starter.folder.files()
    assert "broken.toml, line " in (broken.trouble or "")
    assert first.pipeline is not None
    assert "double.toml is called 'nightly' already" in (second.trouble or "")


def test_a_starter_looks_without_being_told(
    database: Database, starter: Starter, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.pipelines.starting.LOOK_EVERY_S", 0.01)
    starter.begin_due()
    set_clock(NOON + timedelta(days=1))
    starter.start()
    eventually(lambda: len(begun(database)) == 1)
    starter.stop()
