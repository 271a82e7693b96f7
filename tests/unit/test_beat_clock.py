"""The clock of the sweep, while the machine's is set."""

from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from celery.beat import ScheduleEntry

from jobs.queues import SWEEP
from workers.clock.sweeper import every

AT_FIRST = datetime(2026, 11, 1, 12, tzinfo=UTC)


def test_a_clock_that_is_set_back_holds_up_no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, steady_s = AT_FIRST, 100.0
    monkeypatch.setattr(Celery, "now", lambda _self: wall)
    monkeypatch.setattr("workers.clock.sweeper.time.monotonic", lambda: steady_s)
    celery = Celery(set_as_current=False)
    entry = ScheduleEntry("sweep", SWEEP, schedule=every(2.0, celery), app=celery)
    for set_by in (-timedelta(hours=1), timedelta(hours=1)):
        wall = AT_FIRST + set_by
        steady_s += 1.0
        assert not entry.is_due()[0]
        steady_s += 1.0
        assert entry.is_due()[0]
        entry = entry.next()
