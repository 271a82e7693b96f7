"""The schedules of pipelines as entries of RedBeat, in Redis: a message when one is due.

It is a hint, as every message is: what is due, and whether it was begun, the rows tell. So an entry that is
lost, sent twice or sent late begins no run twice, and the sweep begins one that nobody was told of.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from celery import Celery
from celery.beat import Service
from celery.schedules import schedstate, schedule
from redbeat import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat.schedulers import get_redis
from redis.exceptions import RedisError

from jobs.clock import UTC
from jobs.pipelines.cron import next_due, zone_named
from jobs.queues import BEGIN_RUNS, CONTROL_QUEUE, make_celery
from jobs.settings import Settings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2
"""How often the entries are looked at; a message is late by so much at most."""

LOCK_S = 15
"""After which another beat takes over the entries of one that was killed."""

AGAIN_S = 3.0
"""Before it begins again when Redis has failed it, or lost the lock with everything else."""

EXPIRES_S = 60
"""A message that nobody has taken for so long is forgotten: the sweep has begun the run."""

KEYS = "tidemill:schedule:"

Schedules = Mapping[str, tuple[str, str]]
"""By the names of pipelines: a cron expression, and its time zone."""


class CronIn(schedule):
    """A cron expression in a time zone, as Celery asks for what is due."""

    def __init__(self, cron: str, zone: ZoneInfo, app: Celery) -> None:
        # What it is derived from is stored as an interval; what it is, the entry's arguments tell.
        super().__init__(run_every=timedelta(minutes=1), app=app)
        self._cron = cron
        self._zone = zone

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return how long it is until it is due again, after a time at which it was."""
        return next_due(self._cron, self._zone, last_run_at) - self.now().astimezone(UTC)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return whether it is due, and in how many seconds it is to be asked again."""
        now = self.now().astimezone(UTC)
        due_at = next_due(self._cron, self._zone, last_run_at)
        if due_at > now:
            return schedstate(False, (due_at - now).total_seconds())
        return schedstate(True, (next_due(self._cron, self._zone, now) - now).total_seconds())


class PipelineEntry(RedBeatSchedulerEntry):  # type: ignore[misc] # it has no types
    """An entry whose arguments are a pipeline, its cron expression and its zone."""

    @classmethod
    def from_key(cls, key: str, app: Celery | None = None) -> "PipelineEntry":
        """Return the entry that is stored under a key.

        Raises:
            KeyError: there is none.
        """
        entry: PipelineEntry = super().from_key(key, app=app)
        _pipeline, cron, zone = entry.args
        entry.schedule = CronIn(cron, zone_named(zone), entry.app)
        return entry


class PipelineScheduler(RedBeatScheduler):  # type: ignore[misc] # it has no types
    """RedBeat that follows the files of pipelines while it runs."""

    Entry = PipelineEntry

    def __init__(self, app: Celery, *, schedules: Callable[[], Schedules], **kwargs: Any) -> None:
        self._schedules = schedules
        super().__init__(app, **kwargs)

    def tick(self, **kwargs: Any) -> float:
        """Store what the files say now, if that is something else, and send what is due."""
        wanted = entries(self.app, self._schedules())
        # A flush before it had the lock, or while it stored the entries, leaves a lock that tells of nothing.
        if wanted != self.app.redbeat_conf.schedule or not self._are_stored(wanted):
            self.app.redbeat_conf.schedule = wanted
            self.setup_schedule()
        waits_s: float = super().tick(**kwargs)
        return waits_s

    def _are_stored(self, wanted: Mapping[str, Any]) -> bool:
        keys = [self.Entry.generate_key(self.app, name) for name in wanted]
        return not keys or get_redis(self.app).exists(*keys) == len(keys)


def entries(app: Celery, schedules: Schedules) -> dict[str, Any]:
    """Return the entries of schedules, by their pipelines' names, as Celery's `beat_schedule` has them."""
    return {
        name: {
            "task": BEGIN_RUNS,
            "schedule": CronIn(cron, zone_named(zone), app),
            "args": [name, cron, zone],
            "options": {"queue": CONTROL_QUEUE, "expires": EXPIRES_S},
        }
        for name, (cron, zone) in schedules.items()
    }


class PipelineClock:
    """Keeps RedBeat going in a thread of the beat's process, as long as there are schedules at all.

    Of several processes one has RedBeat's lock and sends; the others wait for it. After a Redis that was away
    or flushed the entries are stored again.
    """

    def __init__(self, settings: Settings, schedules: Callable[[], Schedules]) -> None:
        """Send by these settings' broker; `schedules` is called every two seconds."""
        self._schedules = schedules
        self._app = make_celery(settings)
        self._app.conf.update(
            redbeat_redis_url=settings.resolved_redis_url(),
            redbeat_redis_options={"socket_timeout": 15, "socket_connect_timeout": 5},
            redbeat_key_prefix=KEYS,
            redbeat_lock_timeout=LOCK_S,
            result_expires=None,  # else Celery has an entry of its own that clears results away
        )
        self._scheduler: Any = partial(PipelineScheduler, schedules=schedules)
        self._stopped = threading.Event()
        self._service: Service | None = None
        self._thread = threading.Thread(target=self._keep, name="pipeline-clock", daemon=True)

    def start(self) -> None:
        """Send what is due from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Send no longer. It is not waited for, as it may wait for another's lock."""
        self._stopped.set()
        if self._service is not None:
            self._service.stop()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is sent any more."""
        return not self._thread.is_alive()

    def _keep(self) -> None:
        while not self._stopped.wait(AGAIN_S):
            try:
                if schedules := self._schedules():
                    self._run(schedules)
            except RedisError as error:  # the sweep begins runs meanwhile
                log.warning("the schedule of pipelines waits for Redis: %s", error)
            except Exception:  # as above
                log.exception("the schedule of pipelines begins anew")

    def _run(self, schedules: Schedules) -> None:
        self._app.conf.beat_schedule = entries(self._app, schedules)
        self._service = Service(self._app, max_interval=LOOK_EVERY_S, scheduler_cls=self._scheduler)
        try:
            self._service.start()
        finally:
            self._service = None
