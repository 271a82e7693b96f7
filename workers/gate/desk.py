"""One pool as this process sees it: its calls in flight, what is to be told, what was refused."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.clock import utcnow
from workers.gate.charging import taken
from workers.gate.endings import Sums, Told, tell
from workers.gate.gate import BLOCKED_PATIENCE_S, Ask, Ending, Grant
from workers.gate.scopes import PoolPlan, Scope
from workers.gate.script import Order, Spoken, Wish
from workers.gate.waiting import Queue, Waiter

TELL_WITHIN_S = 0.05
"""What is to be told waits at most so long for the next round."""

REPORT_EVERY_S = 2.0
"""The calls in flight are told so often, without any change; the script forgets them after 10 s."""

KEPT = 256
"""Lanes and scopes that are kept though nobody needs them just now; callers may make names up."""

FIRST_BATCH, LARGEST_BATCH = 16, 256
"""Asks of a queue in one round: what may be granted, not what waits."""


@dataclass(slots=True)
class Lane:
    """What is known about the starts of a model and rank at this pool, in the event loop's time.

    Nothing is asked before `ready_at`; `start_at` is the earliest start that was seen, `until` the
    end of the refusal whose `reason` is there. `crowded_s` grows while only places are missing.
    """

    ready_at: float = 0.0
    start_at: float = 0.0
    until: float = 0.0
    reason: str = ""
    is_blocked: bool = False
    crowded_s: float = 0.0
    batch: int = FIRST_BATCH

    def bounded(self, patience_s: float) -> float:
        """Return how long somebody with this patience waits for what refused."""
        return min(patience_s, BLOCKED_PATIENCE_S) if self.is_blocked else patience_s


class Desk:
    """See the module. Used on one event loop."""

    def __init__(self, plan: PoolPlan, process: str, probe_s: float) -> None:
        self.plan = plan
        self.lead_at = 0.0
        """The latest start that was granted or the end of a pause: pools are asked in this order."""
        self._process = process
        self._probe_s = probe_s
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._scopes: dict[str, Scope] = {plan.scope.key: plan.scope}
        self._flights: dict[str, int] = {}
        self._told: dict[str, Told] = {}
        self._taken_along: dict[str, Told] = {}  # by the last round
        self._told_since: float | None = None
        self._reported_at = 0.0

    def lane(self, queue: Queue) -> Lane:
        """Return the lane of a queue."""
        key = (queue.model, queue.rank)
        found = self._lanes.get(key)
        if found is None:
            found = self._lanes[key] = Lane()
        return found

    def forget(self, waited_for: Collection[Queue], now: float) -> None:
        """Drop the lanes and scopes that tell nothing any more, once there are many."""
        if len(self._lanes) > KEPT:
            waiting = {(queue.model, queue.rank) for queue in waited_for}
            self._lanes = {
                key: lane for key, lane in self._lanes.items() if key in waiting or lane.until > now
            }
        if len(self._scopes) > KEPT:
            needed = {self.plan.scope.key, *self._flights, *self._told, *self._taken_along}
            self._scopes = {key: self._scopes[key] for key in needed if key in self._scopes}

    def due_at(self) -> float:
        """Return when something is to be told, whoever asks."""
        due = float("inf")
        if self._told_since is not None:
            due = self._told_since + TELL_WITHIN_S
        if self._flights:
            due = min(due, self._reported_at + REPORT_EVERY_S)
        return due

    def depart(self, model: str) -> None:
        """Count a granted call."""
        for scope in (self.plan.scope, self.plan.scope_of(model)):
            self._scopes[scope.key] = scope
            self._flights[scope.key] = self._flights.get(scope.key, 0) + 1

    def settle(self, grant: Grant, ending: Ending) -> None:
        """Count a call that ended, and gather what is to be told about it."""
        scope = self.plan.scope_of(grant.ask.model)
        for key in (self.plan.scope.key, scope.key):
            self._flights[key] = max(0, self._flights.get(key, 0) - 1)
        tell(
            self._to_tell(self.plan.scope), self._to_tell(scope), self.plan.charging, grant, ending
        )
        now = asyncio.get_running_loop().time()
        for lane in self._lanes.values():
            if lane.crowded_s:
                lane.ready_at = min(lane.ready_at, now)

    def give_back(self, ask: Ask, *, was_probe: bool) -> None:
        """Take back a grant that nobody waited for any more."""
        models = self._to_tell(self.plan.scope_of(ask.model))
        models.give_back(taken(self.plan.charging, ask))
        if was_probe:
            models.probe = self._to_tell(self.plan.scope).probe = "void"

    def seed(self, scope: Scope, requests: int, tokens: int) -> None:
        """Tell what was used of a scope today, and look at once what that allows."""
        _, ends = self.plan.day(utcnow())
        self._to_tell(scope).seed = {"rpd": requests, "tpd": tokens, "end": ends.timestamp()}
        for lane in self._lanes.values():
            lane.ready_at = 0.0

    def order(self, turns: Sequence[tuple[Queue, Waiter]], now: float) -> Order:
        """Return the next round: these asks, what is to be told, and the calls in flight."""
        positions = {self.plan.scope.key: 0}
        wishes = []
        for queue, waiter in turns:
            scope = self.plan.scope_of(queue.model)
            self._scopes[scope.key] = scope
            position = positions.setdefault(scope.key, len(positions))
            costs = taken(self.plan.charging, waiter.ask)
            wishes.append(Wish(position, queue.rank, *costs[1:]))
        for key in self._told:
            positions.setdefault(key, len(positions))
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            for key in self._flights:
                positions.setdefault(key, len(positions))
        told, self._told, self._told_since = self._told, {}, None
        payloads = self._payloads(told)
        order = Order(
            process=self._process,
            scopes=[
                Spoken(self._scopes[key], self._flights.get(key, 0), payloads.get(key))
                for key in positions
            ],
            wishes=wishes,
            day_ends=self.plan.day(utcnow())[1].timestamp(),
            probe_s=self._probe_s,
        )
        self._taken_along = told
        self._forget(positions)
        return order

    def round_failed(self) -> None:
        """Keep what the failed round was to tell."""
        for key, older in self._taken_along.items():
            self._to_tell(self._scopes[key]).take_up(older)

    def _payloads(self, told: Mapping[str, Told]) -> dict[str, dict[str, Any]]:
        """Return what is told, by scope; the pool's sums are those of its models."""
        whole = Sums()
        for of_scope in told.values():
            whole.add(of_scope.sums)
        payloads = {key: of_scope.payload(of_scope.sums) for key, of_scope in told.items()}
        pool = self.plan.scope.key
        payloads[pool] = told.get(pool, Told()).payload(whole)
        return payloads

    def _to_tell(self, scope: Scope) -> Told:
        if self._told_since is None:
            self._told_since = asyncio.get_running_loop().time()
        self._scopes[scope.key] = scope
        told = self._told.get(scope.key)
        if told is None:
            told = self._told[scope.key] = Told()
        return told

    def _forget(self, reported: dict[str, int]) -> None:
        for key in reported:
            if self._flights.get(key) == 0:
                del self._flights[key]
