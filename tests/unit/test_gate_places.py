"""Who gets a place that falls free where calls in flight are limited: by the script alone."""

from dataclasses import dataclass, field

from fakeredis import FakeRedis

from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Spoken, Wish, read_reply

PLACES = 4
CALL_S = 0.4
POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {"concurrency": PLACES})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {})
BEGAN_S = 1_000_000.0
STEP_S = 0.01


@dataclass
class Process:
    """One that looks for a place when one of its own calls has ended, and else every `look_s`."""

    name: str
    rank: int
    look_s: float
    every_s: float
    """Between two calls that it wants to make."""
    patience_s: float = 1e9
    waiting: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    next_call: float = BEGAN_S
    next_look: float = BEGAN_S

    def step(self, now: float) -> bool:
        """Note what has come and ended; return whether it looks for places now."""
        while self.next_call <= now and len(self.waiting) < 16:
            self.waiting.append(max(self.next_call, BEGAN_S))
            self.next_call += self.every_s
        self.waiting = [came for came in self.waiting if came + self.patience_s > now]
        before = len(self.ends)
        self.ends = [end for end in self.ends if end > now]
        return bool(self.waiting) and (len(self.ends) < before or now >= self.next_look)


def run(processes: list[Process], seconds: float) -> None:
    script = FakeRedis().register_script(SOURCE)
    now = BEGAN_S
    while now < BEGAN_S + seconds:
        now += STEP_S
        # Whoever knows of a free place first is asked first: the one whose call has ended.
        for process in sorted(processes, key=lambda process: process.rank, reverse=True):
            if not process.step(now):
                continue
            flights = len(process.ends)
            order = Order(
                process.name,
                [Spoken(POOL, flights), Spoken(MODEL, flights)],
                [Wish(1, process.rank, 0, 0, 0, 0)] * len(process.waiting),
            )
            reply = read_reply(script(keys=order.keys(), args=[order.argument(), f"{now:.6f}"]))
            granted = sum(start is not None for start in reply.starts)
            process.waits += [now - came for came in process.waiting[:granted]]
            process.ends += [now + CALL_S] * granted
            process.waiting = process.waiting[granted:]
            process.next_look = now + process.look_s
        assert sum(len(process.ends) for process in processes) <= PLACES


def test_a_persons_call_gets_the_next_place_that_falls_free_in_another_process() -> None:
    batch = Process("worker", 4, look_s=0.2, every_s=0.01)
    person = Process("api", 1, look_s=0.04, every_s=1.0)
    run([batch, person], 30.0)
    waits = sorted(person.waits[3:])  # a new pool lets nothing leave for some seconds
    assert len(waits) > 20
    # The places fall free within one call's time.
    assert waits[-1] < CALL_S + 0.1
    # What the person leaves is the batch's.
    assert len(batch.waits) > 0.7 * 27.0 / CALL_S * PLACES


def test_people_who_would_take_every_place_leave_a_batch_its_share() -> None:
    batch = Process("worker", 4, look_s=0.2, every_s=0.01)
    people = Process("api", 1, look_s=0.04, every_s=0.01)
    run([batch, people], 30.0)
    starts = len(batch.waits) + len(people.waits)
    assert 0.1 < len(batch.waits) / starts < 0.35
    assert starts > 0.7 * 27.0 / CALL_S * PLACES


def test_a_place_that_is_kept_for_somebody_who_left_is_used_soon() -> None:
    batch = Process("worker", 4, look_s=0.2, every_s=0.01)
    hasty = Process("api", 1, look_s=0.04, every_s=1.0, patience_s=0.05)
    run([batch, hasty], 30.0)
    assert len(batch.waits) > 0.6 * 27.0 / CALL_S * PLACES
