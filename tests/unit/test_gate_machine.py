"""The gate against a strict provider: continuous buckets that begin empty and hold one second.

Several processes ask in bulk, calls end early or cheaper than reserved, are cancelled before or after
their start, and Redis is flushed: no bucket may ever be overdrawn, and the sums must add up.
"""

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fakeredis import FakeRedis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from workers.gate.charging import Costs
from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Reply, Spoken, Wish, read_reply

POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {"rpm": 600, "tpm": 60_000})
MODELS = (
    Scope("tidemill:gate:{p/m}:a", "a", ("a",), {"itpm": 24_000}),
    Scope("tidemill:gate:{p/m}:b", "b", ("b",), {"rps": 8, "otpm": 12_000}),
)
KINDS = {"rps": 0, "rpm": 0, "tpm": 1, "itpm": 2, "otpm": 3}
PERIODS = {"rps": 1, "rpm": 60, "tpm": 60, "itpm": 60, "otpm": 60}


@dataclass
class Bucket:
    """A strict provider's: one second's worth at most, nothing at the beginning."""

    rate: float
    level: float = 0.0
    at: float = 0.0

    def refill(self, now: float) -> None:
        capacity = max(self.rate, 1.0)
        self.level = min(capacity, self.level + (now - self.at) * self.rate)
        self.at = now


@dataclass
class Call:
    model: int
    costs: Costs
    start: float
    sent: bool = True
    started: bool = False
    ended: bool = False


@dataclass
class Provider:
    """Takes what was reserved when a call starts, gives back what it didn't use when it ends."""

    now: float
    buckets: dict[tuple[int, str], Bucket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, scope in enumerate((POOL, *MODELS)):
            for name, limit in scope.limits.items():
                rate = limit / PERIODS[name]
                self.buckets[index, name] = Bucket(rate, at=self.now)

    def take(self, model: int, costs: Sequence[int], now: float) -> None:
        for (index, name), bucket in self.buckets.items():
            if index in (0, model + 1):
                bucket.refill(now)
                bucket.level -= costs[KINDS[name]]
                bucket.level = min(bucket.level, max(bucket.rate, 1.0))
                assert bucket.level >= -1e-3, f"{name} of scope {index} is over by {bucket.level}"


small = st.integers(min_value=0, max_value=100)


class StrictProvider(RuleBasedStateMachine):
    """Time moves only by `wait`."""

    def __init__(self) -> None:
        super().__init__()
        self.redis = FakeRedis()
        self.script = self.redis.register_script(SOURCE)
        self.now = 1_000_000.0
        self.provider = Provider(self.now)
        self.booked: list[tuple[float, int, Call]] = []
        self.number = itertools.count()
        self.open: list[Call] = []
        self.sums = [[0] * 4 for _ in range(3)]
        self.flushed_at = 0.0

    def round(
        self, process: int, wishes: Sequence[tuple[int, int, Costs]], told: dict[int, Any]
    ) -> Reply:
        order = Order(
            process=f"p{process}",
            scopes=[
                Spoken(scope, 0, told.get(index)) for index, scope in enumerate((POOL, *MODELS))
            ],
            wishes=[Wish(model + 1, rank, *costs[1:]) for model, rank, costs in wishes],
        )
        arguments: list[Any] = [order.argument(), f"{self.now:.6f}"]
        return read_reply(self.script(keys=order.keys(), args=arguments))

    def count(self, model: int, costs: Sequence[int], sign: int) -> None:
        for scope in (0, model + 1):
            for kind in range(4):
                self.sums[scope][kind] += sign * costs[kind]

    @rule(
        process=st.integers(0, 2),
        model=st.integers(0, 1),
        rank=st.integers(1, 4),
        sizes=st.lists(st.tuples(small, small), min_size=1, max_size=12),
        unsent=st.booleans(),
    )
    def ask(
        self, process: int, model: int, rank: int, sizes: list[tuple[int, int]], unsent: bool
    ) -> None:
        wishes = [(model, rank, Costs(1, i + o, i, min(o, 50), i + o)) for i, o in sizes]
        reply = self.round(process, wishes, {})
        last = 0.0
        for (_, _, costs), start in zip(wishes, reply.starts, strict=True):
            if start is None:
                continue
            assert 0 <= start <= 0.81
            last = max(last, start)
            call = Call(model, costs, self.now + start, sent=not unsent)
            heapq.heappush(self.booked, (call.start, next(self.number), call))
            self.open.append(call)
            self.count(model, costs, 1)

    @rule(seconds=st.floats(min_value=0.001, max_value=2.5))
    def wait(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 6)
        while self.booked and self.booked[0][0] <= self.now:
            start, _, call = heapq.heappop(self.booked)
            if call.ended:
                continue
            call.started = True
            if call.sent:
                self.provider.take(call.model, call.costs, start)

    @rule(
        steps=st.lists(st.floats(min_value=0.01, max_value=0.4), min_size=5, max_size=25),
        sizes=st.lists(st.tuples(small, small), min_size=30, max_size=30),
        ranks=st.lists(st.integers(1, 4), min_size=2, max_size=2),
    )
    def saturate(self, steps: list[float], sizes: list[tuple[int, int]], ranks: list[int]) -> None:
        """More is wanted than there is, for a while, by two models and priorities."""
        for step in steps:
            self.ask(0, 0, ranks[0], sizes[:15], False)
            self.ask(1, 1, ranks[1], sizes[15:], False)
            self.wait(step)

    @precondition(lambda self: self.open)
    @rule(count=st.integers(1, 60), process=st.integers(0, 2))
    def end_many(self, count: int, process: int) -> None:
        """What was started last ends without having used a token."""
        for call in self.open[-count:]:
            self.end_one(call, process, 1.0)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), process=st.integers(0, 2), share=st.floats(0, 1))
    def end(self, data: st.DataObject, process: int, share: float) -> None:
        """A call ends: cheaper than reserved, or given back if it never left."""
        self.end_one(data.draw(st.sampled_from(self.open)), process, share)

    def end_one(self, call: Call, process: int, share: float) -> None:
        self.open.remove(call)
        if not call.started:
            call.ended = True
            given, word = list(call.costs), "undone"
        elif not call.sent:
            given, word = list(call.costs), "less"
        else:
            given, word = [0, *(int(amount * share) for amount in call.costs[1:])], "less"
            self.provider.take(call.model, [-amount for amount in given], self.now)
        self.round(process, [], {key: {word: given, "good": 1} for key in (0, call.model + 1)})
        self.count(call.model, given, -1)

    @precondition(lambda self: self.now > self.flushed_at + 10)
    @rule()
    def flush(self) -> None:
        """What is booked still starts; what is known of it is lost."""
        self.redis.flushall()
        self.sums = [[0] * 4 for _ in range(3)]
        self.flushed_at = self.now

    @invariant()
    def what_was_taken_and_given_back_adds_up(self) -> None:
        if self.flushed_at:
            return  # endings of calls from before a flush are booked against a new sum
        for scope, sums in zip((POOL, *MODELS), self.sums, strict=True):
            kept = [float(self.redis.hget(scope.key, f"s:{kind}") or 0) for kind in range(1, 5)]
            assert kept == sums


StrictProvider.TestCase.settings = settings(
    max_examples=12, stateful_step_count=15, derandomize=True
)
test_no_bucket_of_a_strict_provider_is_ever_overdrawn = StrictProvider.TestCase
