"""A start at whichever of several targets grants one first, whatever becomes of the others."""

import asyncio

import pytest

from tests.support.fake_gate import FakeGate
from workers.gate.gate import Ask, ComeBack, Ending, Grant
from workers.job.race import first_grant

ASKS = [Ask(provider, "small", 10, 20, 50, "normal") for provider in ("first", "second")]
BLOCKED = ComeBack(60.0, "it is paused", is_blocked=True)


@pytest.fixture
def gate() -> FakeGate:
    return FakeGate({"first": "blue", "second": "main"})


async def test_of_two_grants_at_once_the_first_targets_is_taken_and_the_other_given_back(
    gate: FakeGate,
) -> None:
    won = await first_grant(gate, ASKS, 5.0)
    assert isinstance(won, Grant)
    assert won.pool.provider == "first"
    [(other, ending)] = gate.settled
    assert (other.pool.provider, ending) == ("second", Ending(sent=False))


async def test_a_target_that_is_blocked_keeps_no_other_from_serving(gate: FakeGate) -> None:
    gate.blocked["first"] = BLOCKED
    won = await first_grant(gate, ASKS, 5.0)
    assert isinstance(won, Grant)
    assert won.pool.provider == "second"
    assert gate.settled == []


async def test_without_a_grant_every_answer_is_told(gate: FakeGate) -> None:
    gate.blocked = {"first": BLOCKED, "second": BLOCKED}
    assert await first_grant(gate, ASKS, 5.0) == [BLOCKED, BLOCKED]


async def test_whoever_is_cancelled_leaves_no_ask_behind(gate: FakeGate) -> None:
    gate.is_open.clear()
    racing = asyncio.create_task(first_grant(gate, ASKS, 5.0))
    await asyncio.sleep(0.01)
    racing.cancel()
    await asyncio.gather(racing, return_exceptions=True)
    await asyncio.sleep(0)
    assert gate.called_off == 2
    assert gate.granted == []


class Broken(FakeGate):
    """A gate that fails for one provider."""

    async def ask(self, ask: Ask, patience_s: float) -> Grant | ComeBack:
        if ask.provider == "first":
            await asyncio.sleep(0)
            raise KeyError
        return await super().ask(ask, patience_s)


async def test_an_ask_that_fails_keeps_no_other_from_serving() -> None:
    gate = Broken({"first": "blue", "second": "main", "third": "main"})
    asks = [*ASKS, Ask("third", "small", 10, 20, 50, "normal")]
    won = await first_grant(gate, asks, 5.0)
    assert isinstance(won, Grant)
    assert won.pool.provider == "second"
    assert [grant.pool.provider for grant, _ in gate.settled] == ["third"]


async def test_an_ask_that_fails_is_told_if_nothing_is_granted() -> None:
    gate = Broken({"first": "blue", "second": "main"})
    gate.blocked["second"] = BLOCKED
    with pytest.raises(KeyError):
        await first_grant(gate, ASKS, 5.0)
