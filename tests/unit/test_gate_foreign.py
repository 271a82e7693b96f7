"""What others take of a shared key is seen in `remaining`: by the script alone, on a clock of the test's."""

import random

import pytest
from fakeredis import FakeRedis

from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Spoken, Wish, read_reply

POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {"otpm": 600_000})
RATE_S = 10_000.0
BURST = 60 * RATE_S
CALL_TOKENS = 100
STEP_S = 0.25


def share_of_ours(others: float, noise: float, seconds: float = 180.0) -> float:
    """Return what we use of the limit in the last two thirds, beside `others` and the noise of
    answers that are charged when they are written; both in parts of the limit."""
    script = FakeRedis().register_script(SOURCE)
    chance = random.Random(3)  # noqa: S311
    now, level, ours = 1_000_000.0, BURST, 0.0
    while now < 1_000_000.0 + seconds:
        now += STEP_S
        if now == 1_000_000.0 + 10.0:
            level *= 0.3  # while a bucket is full, nothing can be seen
        remaining = max(0, round(level + chance.uniform(-noise, noise) * RATE_S))
        told = {"good": 1, "readings": [["otpm", 600_000, remaining]]}
        wish = Wish(1, 3, CALL_TOKENS, 0, CALL_TOKENS, CALL_TOKENS)
        order = Order("p", [Spoken(POOL, 0), Spoken(MODEL, 0, told)], [wish] * 60)
        reply = read_reply(script(keys=order.keys(), args=[order.argument(), f"{now:.6f}"]))
        used = CALL_TOKENS * sum(start is not None for start in reply.starts)
        level = min(BURST, level + (1 - others) * RATE_S * STEP_S - used)
        if now > 1_000_000.0 + seconds / 3:
            ours += used
    return ours / (RATE_S * seconds * 2 / 3)


def test_noise_is_not_mistaken_for_somebody_else() -> None:
    assert share_of_ours(others=0.0, noise=0.3) == pytest.approx(0.998, abs=0.005)


def test_others_who_take_a_third_are_left_a_third() -> None:
    assert share_of_ours(others=1 / 3, noise=0.1) == pytest.approx(2 / 3, abs=0.04)
