"""Where batches are handed in: all of them, their files, and what they may take together."""

import time
from collections import deque
from collections.abc import Callable
from itertools import count

from scripts.simulator.batches.batch import Batch, Order
from scripts.simulator.batches.form import Phase, Problem
from scripts.simulator.batches.shelf import Shelf
from scripts.simulator.calls import Failure, FailureKind, Rejected
from scripts.simulator.faults import Faults
from scripts.simulator.ledger import Ended, Ledger, LineOfBatch, Requested
from scripts.simulator.mind import Mind
from scripts.simulator.options import SimulatorOptions

HOUR_S = 3600.0


class Desk:
    """The batches of all providers; `faults`, `ways` and the mind's lengths can change meanwhile."""

    def __init__(
        self,
        options: SimulatorOptions,
        mind: Mind,
        faults: Faults,
        ledger: Ledger,
        now: Callable[[], float],
    ) -> None:
        self.ways = options.batches
        self.seed = options.seed
        self.mind = mind
        self.faults = faults
        self.ledger = ledger
        self.shelf = Shelf()
        self.now = now
        self._started_s = now()
        self._batches: dict[str, Batch] = {}
        self._open: list[Batch] = []
        self._numbers = count(1)
        self._created: dict[str, deque[float]] = {}

    def create(self, order: Order, most_an_hour: int | None = None) -> Batch:
        """Take a batch in.

        Raises:
            Rejected: there are too many, or too much is in them.
        """
        now_s = self.now()
        failure = self._too_often(order, most_an_hour, now_s) or self._too_much(order)
        if failure is not None:
            raise Rejected(failure.message, failure=failure)
        batch = Batch(self, next(self._numbers), order, now_s, time.time())
        self._batches[batch.id] = batch
        self._open.append(batch)
        self._created[order.form.protocol].append(now_s)
        return batch

    def wall(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    def advance(self) -> None:
        """Do all that has become due, in every batch."""
        now_s = self.now()
        for batch in self._open:
            batch.advance(now_s)
        self._open = [batch for batch in self._open if not batch.has_ended]

    def find(self, protocol: str, batch_id: str) -> Batch | None:
        """Return a provider's batch of that name, None where there is none."""
        batch = self._batches.get(batch_id)
        if batch is None or batch.order.form.protocol != protocol:
            return None
        return batch

    def remove(self, batch: Batch) -> None:
        """Forget a batch."""
        del self._batches[batch.id]

    def listed(self, protocol: str) -> list[Batch]:
        """Return a provider's batches as its list has them: the newest first, and not the very newest."""
        before_s = self.now() - self.ways.list_lag_s
        return [
            batch
            for batch in reversed(self._batches.values())
            if batch.order.form.protocol == protocol and batch.created_s <= before_s
        ]

    def enter(self, line: LineOfBatch, requested: Requested, ended: Ended, now_s: float) -> int:
        """Enter a line that was run in the ledger, and return its row."""
        return self.ledger.run(line, requested, now_s - self._started_s, ended)

    def too_many_tokens(self, batch: Batch) -> list[Problem]:
        """Return that a batch has more tokens than its model's limit leaves; nothing if it hasn't."""
        limit = self.ways.enqueued_tokens
        if limit is None or self._enqueued(batch.order, batch) + batch.tokens <= limit:
            return []
        message = (
            f"Enqueued token limit reached for {batch.order.model} in organization org-sim. "
            f"Limit: {limit} enqueued tokens. Please try again once some in_progress batches "
            "have been completed."
        )
        return [Problem("token_limit_exceeded", message)]

    def _too_much(self, order: Order) -> Failure | None:
        limit = self.ways.enqueued_tokens
        if limit is None or order.form.checks_tokens_late:
            return None
        calls = (line.call for line in order.lines)
        tokens = sum(call.input_tokens for call in calls if call is not None)
        used = self._enqueued(order, None)
        if used + tokens <= limit:
            return None
        return Failure(
            FailureKind.RATE_LIMITED, dimension="tpm", limit=limit, used=used, requested=tokens
        )

    def _enqueued(self, order: Order, but: Batch | None) -> int:
        return sum(
            batch.tokens
            for batch in self._open
            if batch is not but
            and not batch.has_ended
            and (batch.phase is not Phase.VALIDATING or not order.form.checks_tokens_late)
            and (batch.order.form.protocol, batch.order.model) == (order.form.protocol, order.model)
        )

    def _too_often(self, order: Order, most: int | None, now_s: float) -> Failure | None:
        most = self.ways.creates_per_hour or most
        created = self._created.setdefault(order.form.protocol, deque())
        while created and created[0] <= now_s - HOUR_S:
            created.popleft()
        if most is None or len(created) < most:
            return None
        return Failure(
            FailureKind.RATE_LIMITED,
            wait_s=created[0] + HOUR_S - now_s,
            dimension="rph",
            limit=most,
            used=len(created),
            requested=1,
        )
