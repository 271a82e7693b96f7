"""Looks at the clock for batches with a deadline or hours of their own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from jobs.deadlines import AfterDeadline
from jobs.errors import ServiceUnavailable
from jobs.exchange import Usage
from jobs.prices import PriceBook
from jobs.store import Database, Session, now
from jobs.store.batches import timed
from jobs.store.batches.timed import Steering
from jobs.store.runs.run_times import KnownFlows, RunTimes
from jobs.tables import Batch
from jobs.timing import (
    Times,
    held_by_window,
    held_for_price,
    hours_sentence,
    price_sentence,
    urgency,
)

TYPICAL = Usage(input_tokens=100_000, output_tokens=50_000)
"""By which the prices of two times are compared."""

log = logging.getLogger(__name__)


class Timekeeper:
    """Holds batches outside of their hours, hurries those that are short of time, ends those that are late.

    It remembers nothing but how the stages of runs follow each other: every look starts from the rows, and
    a write is made only where they are to change. Without such batches a look is one query.
    """

    def __init__(self, database: Database, prices: PriceBook | None = None) -> None:
        """Keep the time of the batches of a database; without `prices` none waits for a lower one."""
        self._database = database
        self._prices = prices
        self._flows = KnownFlows()

    def look(self) -> None:
        """Look at every batch that time has a say in."""
        with self._database.read() as session:
            moment = now(session)
            late, changes = [], []
            found = timed.timed(session)
            runs = self._flows.times_of_batches(session, moment) if found else {}
            for batch in found:
                of_run = runs.get(batch.id or 0)
                if _is_over(batch, moment):
                    late.append(batch)
                elif (change := self._change_of(session, batch, moment, of_run)) is not None:
                    changes.append(change)
        for batch in late:
            self._expire(batch)
        for change in changes:
            with self._none_keeps_the_others(change.ref), self._database.write() as session:
                timed.steer(session, change)
                log.info("%s: %s", change.ref, change)

    def _change_of(
        self, session: Session, batch: Batch, moment: datetime, of_run: RunTimes | None
    ) -> Steering | None:
        """Return what is to be noted with a batch; None where it is noted."""
        window = timed.window_of(batch)
        held_until = held_by_window(window, moment)
        reason = None
        if window is not None and held_until is not None:
            reason = hours_sentence(window, held_until)
        times = timed.times_of(session, batch, moment, of_run)
        wanted = None if times is None else urgency(times, moment)
        if held_until is None and times is not None and batch.clocked_model is not None:
            held_until = self._held_for_price(batch, batch.clocked_model, times, moment)
            if held_until is not None:
                reason = price_sentence(batch.clocked_model, held_until)
        change = Steering.of(batch, held_until=held_until, reason=reason, urgency=wanted)
        return change if change.changes(batch) else None

    def _held_for_price(
        self, batch: Batch, model: str, times: Times, moment: datetime
    ) -> datetime | None:
        prices = self._prices
        if prices is None:
            return None
        provider, _, name = model.partition("/")

        def cost_at(at: datetime) -> int:
            price = prices.price(provider, name, at)
            return 0 if price is None else price.cost_nanos(TYPICAL)

        is_held = batch.held_until is not None and batch.held_until > moment
        return held_for_price(times, moment, cost_at, is_held=is_held)

    def _expire(self, batch: Batch) -> None:
        assert batch.id is not None  # a stored row has its key
        with self._none_keeps_the_others(batch.ref), self._database.write() as session:
            if timed.expire_due(session, batch.id):
                log.info("%s has passed its deadline: what is open expires", batch.ref)

    @contextmanager
    def _none_keeps_the_others(self, ref: str) -> Iterator[None]:
        """Log what one batch fails of, and go on; not if the database is away."""
        try:
            yield
        except ServiceUnavailable:
            raise
        except Exception:  # the next look tries again
            log.exception("keeping the time of %s failed", ref)


def _is_over(batch: Batch, moment: datetime) -> bool:
    is_late = batch.deadline is not None and batch.deadline <= moment
    return is_late and batch.after_deadline == AfterDeadline.EXPIRE
