"""RedBeat as the clock of pipelines: its entries, two beats at once, and a Redis that was flushed."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from jobs.pipelines.cron import zone_named
from jobs.queues import CONTROL_QUEUE, make_celery
from jobs.settings import Settings
from tests.support.eventually import eventually
from workers.pipelines import schedule
from workers.pipelines.schedule import KEYS, CronIn, PipelineClock, Schedules

NIGHTLY: Schedules = {"nightly": ("0 22 * * *", "Europe/Paris")}


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "AGAIN_S", 0.05)
    monkeypatch.setattr(schedule, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(schedule, "LOCK_S", 2)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    with closing(Redis.from_url(redis_url, decode_responses=True)) as client:
        yield client


Started = Callable[[Callable[[], Schedules]], PipelineClock]


@pytest.fixture
def started(redis_url: str) -> Iterator[Started]:
    with ExitStack() as clocks:

        @contextmanager
        def running(schedules: Callable[[], Schedules]) -> Iterator[PipelineClock]:
            clock = PipelineClock(Settings(broker_url=redis_url), schedules)
            clock.start()
            try:
                yield clock
            finally:
                clock.stop()
                eventually(lambda: clock.is_at_rest, what="the clock has stopped")

        yield lambda schedules: clocks.enter_context(running(schedules))


def sent(redis: Any) -> list[Any]:
    """The arguments of the messages that nobody has taken yet."""
    raw = [json.loads(message) for message in redis.lrange(CONTROL_QUEUE, 0, -1)]
    return [json.loads(message["headers"]["argsrepr"].replace("'", '"')) for message in raw]


def make_due(redis: Any) -> None:
    """Let the entry look as if it was sent two days ago."""
    told = json.loads(redis.hget(f"{KEYS}nightly", "meta"))
    told["last_run_at"]["day"] = 1
    told["last_run_at"]["month"] = 1
    redis.hset(f"{KEYS}nightly", "meta", json.dumps(told))
    redis.zadd(f"{KEYS}:schedule", {f"{KEYS}nightly": 1})


def entries(redis: Any) -> list[str]:
    return sorted(key.removeprefix(KEYS) for key in redis.zrange(f"{KEYS}:schedule", 0, -1))


def test_of_two_beats_one_sends_and_the_other_takes_over(redis: Any, started: Started) -> None:
    first = started(lambda: NIGHTLY)
    owner = eventually(lambda: redis.get(f"{KEYS}:lock"))
    started(lambda: NIGHTLY)
    make_due(redis)
    eventually(lambda: sent(redis), what="the message of what is overdue")
    assert sent(redis) == [["nightly", "0 22 * * *", "Europe/Paris"]]
    first.stop()
    eventually(lambda: redis.get(f"{KEYS}:lock") not in {None, owner}, what="another has the lock")
    assert len(sent(redis)) == 1


def test_entries_are_stored_again_after_a_flush(redis: Any, started: Started) -> None:
    started(lambda: NIGHTLY)
    eventually(lambda: entries(redis) == ["nightly"])
    redis.flushdb()
    eventually(lambda: entries(redis) == ["nightly"], what="the entry is back")


def test_entries_are_stored_again_after_a_flush_while_a_beat_waits_for_its_turn(
    redis: Any, started: Started
) -> None:
    redis.set(f"{KEYS}:lock", "somebody else")
    started(lambda: NIGHTLY)
    eventually(lambda: entries(redis) == ["nightly"], what="stored before it waits")
    redis.flushdb()
    eventually(lambda: entries(redis) == ["nightly"], what="the entry is back")


def test_an_entry_that_a_flush_took_while_it_was_stored_is_stored_again(
    redis: Any, started: Started
) -> None:
    redis.set(f"{KEYS}:lock", "somebody else")
    started(lambda: NIGHTLY)
    eventually(
        lambda: redis.smembers(f"{KEYS}:statics") == {"nightly"}, what="stored before it waits"
    )
    # As a flush leaves it that comes after the entry, and before the note that it was stored.
    redis.delete(f"{KEYS}nightly", f"{KEYS}:schedule", f"{KEYS}:lock")
    eventually(lambda: entries(redis) == ["nightly"], what="the entry is back")


def test_entries_follow_the_files(redis: Any, started: Started) -> None:
    now: dict[str, tuple[str, str]] = {}
    started(lambda: dict(now))
    now["nightly"] = ("0 22 * * *", "Europe/Paris")
    eventually(lambda: entries(redis) == ["nightly"])
    now["hourly"] = ("0 * * * *", "UTC")
    del now["nightly"]
    eventually(lambda: entries(redis) == ["hourly"])


def test_what_is_due_is_told_by_the_clocks_of_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    celery = make_celery(Settings(broker_url="redis://127.0.0.1:9"))
    nightly = CronIn("0 22 * * *", zone_named("Europe/Paris"), celery)
    due_at = datetime(2026, 7, 1, 20, tzinfo=UTC)
    yesterday = due_at - timedelta(days=1)
    monkeypatch.setattr(CronIn, "now", lambda _self: due_at - timedelta(seconds=90))
    assert nightly.is_due(yesterday) == (False, 90.0)
    assert nightly.remaining_estimate(yesterday) == timedelta(seconds=90)
    monkeypatch.setattr(CronIn, "now", lambda _self: due_at)
    assert nightly.is_due(yesterday) == (True, 86_400.0)
