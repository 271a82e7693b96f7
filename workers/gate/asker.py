"""The one that asks for all calls of this process to a provider: in bulk, and only when it may help.

Nobody polls. A round over a pool takes what has come within 5 ms; what was refused is asked again when
the script said so, or when a call of this process has ended and so made room.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from redis.exceptions import RedisError, ResponseError

from jobs.clock import utcnow
from workers.gate.complaints import Complaints
from workers.gate.desk import FIRST_BATCH, LARGEST_BATCH, Desk, Lane
from workers.gate.gate import Ask, ComeBack, Ending, Grant, PoolId
from workers.gate.loop_clock import LoopClock
from workers.gate.reasons import BLOCKING, GONE, PAUSING, UNUSABLE, sentence
from workers.gate.scopes import Scope
from workers.gate.script import Order, Refusal, Reply, Script
from workers.gate.waiting import RANKS, Queue, Waiter, WaitingRoom, in_turn

log = logging.getLogger(__name__)

UsedToday = Callable[[PoolId, tuple[str, ...], datetime], Awaitable[tuple[int, int]]]
"""Requests and tokens of a pool's models (shell patterns) since a time, from the ledger."""

COALESCE_S = 0.005
"""Asks that come within this are one round."""

SWEEP_EVERY_S = 0.25
"""How often it is looked whose patience is over."""

LOOK_AGAIN_S = 5.0
"""However long a pause is said to be, a waiting call asks again after this: it may have ended early."""

RETRY_S = 0.5
"""Between two tries to reach a Redis that doesn't answer."""

CROWDED_S = (0.02, 0.2)
"""Between two looks for a place that another process may have freed: at first, and at most."""

AWAITED_S = 0.04
"""At most, for an interactive call: a place is kept for it, and is idle until it is taken."""

LATENESS_S = 0.005
"""Processes that are told to come back at the same time differ by up to this, so all get their turn."""

NEVER = float("inf")


class Asker:
    """See the module. Used on one event loop; `start` and `stop` are the gate's."""

    def __init__(
        self,
        desks: Sequence[Desk],
        script: Script,
        used_today: UsedToday,
        complaints: Complaints,
    ) -> None:
        self._desks = {desk.plan.id: desk for desk in desks}
        self._script = script
        self._used_today = used_today
        self._complaints = complaints
        self._room = WaitingRoom()
        self._clock = LoopClock()
        self._wake = asyncio.Event()
        self._arrived_at = 0.0  # of the first ask since the last round
        self._sweep_at = 0.0
        self._gone_until = 0.0
        self._is_gone = False
        self._gone_reason = GONE
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None
        self._seeding: dict[str, asyncio.Task[None]] = {}

    async def ask(self, ask: Ask, patience_s: float) -> Grant | ComeBack:
        """See `workers.gate.gate.Gate`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._gone_until > now:
            return ComeBack(self._gone_until - now, self._gone_reason, is_blocked=True)
        queue = self._room.queue(ask.model, RANKS.get(ask.priority, RANKS["normal"]))
        refusal = self._refusal(queue, now)
        if refusal is not None and refusal.start_at > now + refusal.bounded(patience_s):
            return _come_back(refusal, queue, now)
        waiter = Waiter(ask, now, patience_s, loop.create_future())
        if not queue.waiters:
            self._arrived_at = now
        queue.join(waiter)
        if self._task is None:
            self._task = loop.create_task(self._keep_asking(), name="gate")
        if len(queue.waiters) == 1 or refusal is None:
            self._wake.set()
        return await self._answer(waiter)

    async def _answer(self, waiter: Waiter) -> Grant | ComeBack:
        """Wait for the answer; whoever is cancelled with a grant in hand gives it back."""
        try:
            return await waiter.answer
        except asyncio.CancelledError:
            if waiter.answer.done() and not waiter.answer.cancelled():
                reply = waiter.answer.result()
                if isinstance(reply, Grant):
                    self.settle(reply, Ending(sent=False))
            raise

    def settle(self, grant: Grant, ending: Ending) -> None:
        """See `workers.gate.gate.Gate`."""
        self._desks[grant.pool].settle(grant, ending)
        self._wake.set()

    async def stop(self) -> None:
        """End the asking, answer whoever waits, and tell what is left to tell."""
        # Cancelling alone may be in vain: up to Python 3.11 `asyncio.wait_for`, which redis-py sends
        # by, forgets it where the sending ends at that moment.
        self._is_closing = True
        tasks = [task for task in (self._task, *self._seeding.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._dismiss_all(ComeBack(1.0, "this worker is closing", is_blocked=True))
        now = asyncio.get_running_loop().time()
        for desk in self._desks.values():
            if desk.due_at() < NEVER:
                try:
                    await self._script.run(desk.order((), now))
                except (RedisError, OSError) as error:
                    log.warning("the last endings could not be told: %s", error)
                    return

    # Asking -------------------------------------------------------------------------------------

    async def _keep_asking(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_closing:
            await self._until_due()
            try:
                for desk in sorted(self._desks.values(), key=lambda desk: desk.lead_at):
                    await self._round(desk)
                if loop.time() >= self._sweep_at:
                    self._sweep_at = loop.time() + SWEEP_EVERY_S
                    self._sweep()
            except (RedisError, OSError) as error:
                self._lose(error)
            except Exception as error:  # nothing would leave any more if this task died
                log.exception("a round of the gate failed")
                self._lose(error)

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_closing:
            self._wake.clear()
            wait_s = self._due_at() - loop.time()
            if wait_s <= 0:
                return
            timer = None if wait_s == NEVER else loop.call_later(wait_s, self._wake.set)
            await self._wake.wait()
            if timer is not None:
                timer.cancel()

    def _due_at(self) -> float:
        """Return when the next round or sweep is due."""
        due = min((desk.due_at() for desk in self._desks.values()), default=NEVER)
        for queue in self._room.waited_for():
            due = min(due, self._sweep_at, self._queue_due_at(queue))
        return max(due, self._gone_until)

    def _queue_due_at(self, queue: Queue) -> float:
        ready_at = min((desk.lane(queue).ready_at for desk in self._desks.values()), default=NEVER)
        return max(ready_at, self._arrived_at + COALESCE_S)

    async def _round(self, desk: Desk) -> None:
        """Ask one pool for all that may ask it now, and tell it what there is to tell."""
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        hands = []
        for queue in self._room.waited_for():
            lane = desk.lane(queue)
            if lane.ready_at <= sent_at and (waiters := queue.take(lane.batch)):
                hands.append((queue, waiters))
        if not hands and desk.due_at() > sent_at:
            return
        turns = in_turn(hands)
        for _, waiter in turns:
            waiter.renew(sent_at)
        try:
            order = desk.order(turns, sent_at)
            reply = await self._script.run(order)
            self._is_gone = False
            self._clock.hear(reply.now, sent_at, loop.time())
            self._hand_out(desk, turns, reply)
        except BaseException:
            for queue, waiters in hands:
                queue.put_back(waiters)
            desk.round_failed()
            raise
        self._note_refusals(desk, order, hands, reply)
        self._note_lost(desk, order, reply)

    # Answering ----------------------------------------------------------------------------------

    def _hand_out(self, desk: Desk, turns: Sequence[tuple[Queue, Waiter]], reply: Reply) -> None:
        """Answer those that were granted a start, and put the others back in their places."""
        refused: dict[Queue, list[Waiter]] = {}
        granted: dict[Queue, int] = {}
        for position, ((queue, waiter), start) in enumerate(zip(turns, reply.starts, strict=True)):
            if start is None:
                refused.setdefault(queue, []).append(waiter)
                continue
            is_probe = position in reply.probes
            if waiter.answer.done():
                desk.give_back(waiter.ask, was_probe=is_probe)
                continue
            start_at = self._clock.loop_time(reply.now + start)
            desk.depart(queue.model)
            desk.lead_at = max(desk.lead_at, start_at)
            granted[queue] = granted.get(queue, 0) + 1
            waiter.answer.set_result(Grant(waiter.ask, desk.plan.id, start_at, is_probe))
        now = asyncio.get_running_loop().time()
        for queue, count in granted.items():
            queue.note_granted(count, now)
        for queue, waiters in refused.items():
            queue.put_back(waiters)

    def _note_refusals(
        self,
        desk: Desk,
        order: Order,
        hands: Sequence[tuple[Queue, list[Waiter]]],
        reply: Reply,
    ) -> None:
        refusals = {(refusal.scope, refusal.rank): refusal for refusal in reply.refusals}
        positions = {spoken.scope.key: index for index, spoken in enumerate(order.scopes)}
        for queue, waiters in hands:
            lane = desk.lane(queue)
            position = positions[desk.plan.scope_of(queue.model).key]
            refusal = refusals.get((position, queue.rank))
            if refusal is None:
                lane.batch = min(2 * lane.batch, LARGEST_BATCH)
                lane.until = lane.crowded_s = 0.0
                continue
            lane.batch = max(FIRST_BATCH, min(len(waiters) // 2 + FIRST_BATCH, LARGEST_BATCH))
            reason = sentence("/".join(desk.plan.id), order, refusal, reply.now)
            self._note_refusal(lane, refusal, reply.now, reason)
            if refusal.code in PAUSING:
                self._complaints.note_pause(desk.plan.id, refusal.detail)
            if queue.waiters and queue.waiters[0].gives_up_at(lane.is_blocked) < lane.start_at:
                self._sweep_at = 0.0
            if refusal.code in BLOCKING:
                desk.lead_at = max(desk.lead_at, lane.until)

    def _note_refusal(self, lane: Lane, refusal: Refusal, said: float, reason: str) -> None:
        wait_s = refusal.wait_s
        if refusal.code == "flights":
            most_s = AWAITED_S if refusal.rank == RANKS["interactive"] else CROWDED_S[1]
            lane.crowded_s = wait_s = min(max(2 * lane.crowded_s, CROWDED_S[0]), most_s)
        else:
            lane.crowded_s = 0.0
        now = self._clock.loop_time(said)
        lane.until = now + wait_s
        lane.ready_at = now + min(wait_s, LOOK_AGAIN_S) + random.uniform(0.0, LATENESS_S)  # noqa: S311
        lane.start_at = now + (wait_s if refusal.start_s is None else refusal.start_s)
        lane.reason, lane.is_blocked = reason, refusal.code in BLOCKING

    def _refusal(self, queue: Queue, now: float) -> Lane | None:
        """Return the refusal that ends first, None while a pool may be asked."""
        lanes = [desk.lane(queue) for desk in self._desks.values()]
        if any(lane.ready_at <= now or lane.until <= now for lane in lanes):
            return None
        return min(lanes, key=lambda lane: lane.start_at)

    def _sweep(self) -> None:
        """Answer those whose patience is over, or ends before anything can start."""
        now = asyncio.get_running_loop().time()
        for queue in self._room.waited_for():
            refusal = self._refusal(queue, now)
            if refusal is None:
                busy = ComeBack(queue.drained_in_s(now), "others of this worker are before it")
                queue.dismiss(now, busy)
            else:
                queue.dismiss(max(now, refusal.start_at), _come_back(refusal, queue, now))
        self._room.forget_empty()
        waited_for = list(self._room.waited_for())
        for desk in self._desks.values():
            desk.forget(waited_for, now)

    def _lose(self, error: Exception) -> None:
        """Tell everybody that the shared state can't be reached; what is in it is not lost."""
        answers = isinstance(error, ResponseError)
        if not self._is_gone:
            what = "can't be used" if answers else "doesn't answer"
            log.warning("the gate's Redis %s, calls wait: %s", what, error)
        self._is_gone = True
        self._gone_reason = UNUSABLE if answers else GONE
        self._gone_until = asyncio.get_running_loop().time() + RETRY_S
        self._dismiss_all(ComeBack(2 * RETRY_S, self._gone_reason, is_blocked=True))

    def _dismiss_all(self, reply: ComeBack) -> None:
        for queue in self._room.waited_for():
            queue.dismiss(NEVER, reply)

    # What Redis has lost ------------------------------------------------------------------------

    def _note_lost(self, desk: Desk, order: Order, reply: Reply) -> None:
        for index in reply.foreign:
            key = order.scopes[index].scope.key
            log.warning("the gate's key %s was not its own; it begins anew", key)
        for index in reply.unseeded:
            self._seed(desk, order.scopes[index].scope)

    def _seed(self, desk: Desk, scope: Scope) -> None:
        """Read what was used today, once at a time, for a scope whose counts are lost."""
        if scope.key in self._seeding:
            return
        task = asyncio.create_task(self._read_used(desk, scope), name="gate-seed")
        self._seeding[scope.key] = task
        task.add_done_callback(lambda _done: self._seeding.pop(scope.key, None))

    async def _read_used(self, desk: Desk, scope: Scope) -> None:
        begins, _ = desk.plan.day(utcnow())
        try:
            requests, tokens = await self._used_today(desk.plan.id, scope.models, begins)
        except Exception:  # the lane asks again, and so this is tried again
            log.exception("today's use of %s/%s can't be read", *desk.plan.id)
            return
        desk.seed(scope, requests, tokens)
        self._wake.set()


def _come_back(refusal: Lane, queue: Queue, now: float) -> ComeBack:
    wait_s = max(refusal.until - now, 0.01)
    if not refusal.is_blocked:
        wait_s = max(wait_s, queue.drained_in_s(now))
    return ComeBack(wait_s, refusal.reason, refusal.is_blocked)
