"""Permits go round the slices in turn, and none is lost or doubled, whatever happens to a waiter."""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.slices.permits import Permits, Withdrawn

A_FEW_STEPS = 3
"""Turns of the loop in which whatever was decided reaches the task that it is about."""


async def settled() -> None:
    for _ in range(A_FEW_STEPS):
        await asyncio.sleep(0)


@dataclass
class Crowd:
    """Tasks that ask for a permit and keep it until they are told to give it back."""

    permits: Permits
    waiting: list[asyncio.Task[None]] = field(default_factory=list)
    holding: list[Hashable] = field(default_factory=list)
    served: list[Hashable] = field(default_factory=list)

    def ask(self, holder: Hashable) -> asyncio.Task[None]:
        task = asyncio.create_task(self._take(holder))
        self.waiting.append(task)
        return task

    async def _take(self, holder: Hashable) -> None:
        with suppress(Withdrawn):
            await self.permits.acquire(holder)
            self.holding.append(holder)
            self.served.append(holder)

    def give_back(self) -> None:
        if self.holding:
            self.holding.pop()
            self.permits.release()

    @property
    def still_waiting(self) -> int:
        return sum(not task.done() for task in self.waiting)

    async def leave(self) -> None:
        for task in self.waiting:
            task.cancel()
        await asyncio.gather(*self.waiting, return_exceptions=True)
        while self.holding:
            self.give_back()


async def crowd_behind_a_full_house(*holders: Hashable) -> Crowd:
    crowd = Crowd(Permits(1))
    for holder in ("first", *holders):
        crowd.ask(holder)
    await settled()
    assert crowd.served == ["first"]
    return crowd


async def served_after_the_first(crowd: Crowd) -> list[Hashable]:
    while crowd.holding:
        crowd.give_back()
        await settled()
    return crowd.served[1:]


async def test_no_more_are_held_than_there_are() -> None:
    crowd = Crowd(Permits(3))
    for _ in range(5):
        crowd.ask("slice")
    await settled()
    assert len(crowd.holding) == crowd.permits.in_use == 3
    crowd.give_back()
    await settled()
    assert len(crowd.holding) == crowd.permits.in_use == 3
    await crowd.leave()


async def test_it_goes_round_the_slices_so_that_a_small_one_is_not_behind_a_large_one() -> None:
    crowd = await crowd_behind_a_full_house(*["large"] * 6, *["small"] * 2)
    assert await served_after_the_first(crowd) == [
        "large",
        "small",
        "large",
        "small",
        *["large"] * 4,
    ]


async def test_the_jobs_of_a_slice_go_in_the_order_of_asking() -> None:
    permits = Permits(1)
    await permits.acquire("slice")
    order: list[int] = []

    async def take(number: int) -> None:
        await permits.acquire("slice")
        order.append(number)
        permits.release()

    tasks = [asyncio.create_task(take(number)) for number in range(5)]
    await settled()
    permits.release()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_whoever_withdraws_wakes_without_a_permit_and_the_others_wait_on() -> None:
    crowd = await crowd_behind_a_full_house("closing", "open", "closing")
    crowd.permits.withdraw("closing")
    await settled()
    assert crowd.still_waiting == 1
    assert crowd.permits.in_use == 1
    assert await served_after_the_first(crowd) == ["open"]
    assert crowd.permits.in_use == 0


async def test_withdrawing_says_so() -> None:
    permits = Permits(1)
    await permits.acquire("other")
    waiting = asyncio.create_task(permits.acquire("closing"))
    await settled()
    permits.withdraw("closing")
    with pytest.raises(Withdrawn):
        await waiting


async def test_a_waiter_that_is_cancelled_is_passed_over() -> None:
    crowd = await crowd_behind_a_full_house("gone", "next")
    crowd.waiting[1].cancel()
    assert await served_after_the_first(crowd) == ["next"]


async def test_a_permit_that_reaches_a_waiter_together_with_its_cancellation_goes_to_the_next() -> (
    None
):
    crowd = await crowd_behind_a_full_house("gone", "next")
    crowd.give_back()  # the permit is on its way to `gone`
    crowd.waiting[1].cancel()
    await settled()
    assert crowd.served == ["first", "next"]
    assert crowd.permits.in_use == 1
    crowd.give_back()
    assert crowd.permits.in_use == 0


async def test_more_permits_are_handed_out_at_once_and_fewer_as_they_come_back() -> None:
    crowd = Crowd(Permits(1))
    for _ in range(5):
        crowd.ask("slice")
    await settled()
    crowd.permits.resize(4)
    await settled()
    assert len(crowd.holding) == 4
    crowd.permits.resize(2)
    for held in (3, 2):
        crowd.give_back()
        await settled()
        assert len(crowd.holding) == crowd.permits.in_use == held
    assert crowd.still_waiting == 1
    crowd.give_back()
    await settled()
    assert len(crowd.holding) == 2
    assert crowd.still_waiting == 0
    await crowd.leave()


HOLDERS = st.sampled_from("abc")
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), HOLDERS),
        st.tuples(st.just("give_back"), st.none()),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("withdraw"), HOLDERS),
        st.tuples(st.just("resize"), st.integers(1, 5)),
        st.tuples(st.just("pass"), st.none()),
    ),
    max_size=60,
)


def happen(crowd: Crowd, what: str, detail: str | int | None) -> None:
    match what, detail:
        case "ask", str(holder):
            crowd.ask(holder)
        case "give_back", _:
            crowd.give_back()
        case "cancel", int(number) if number < len(crowd.waiting):
            crowd.waiting[number].cancel()
        case "withdraw", str(holder):
            crowd.permits.withdraw(holder)
        case "resize", int(count):
            crowd.permits.resize(count)
        case _:
            return


@given(count=st.integers(1, 4), happenings=HAPPENINGS)
def test_no_permit_is_lost_or_doubled_whatever_happens(
    count: int, happenings: list[tuple[str, str | int | None]]
) -> None:
    async def live() -> None:
        crowd = Crowd(Permits(count))
        for what, detail in happenings:
            if what == "pass":
                await settled()
            else:
                happen(crowd, what, detail)
        await settled()
        assert crowd.permits.in_use == len(crowd.holding)
        if crowd.still_waiting:
            assert crowd.permits.in_use >= crowd.permits.count
        await crowd.leave()
        assert crowd.permits.in_use == 0
        await asyncio.gather(*(crowd.permits.acquire("next") for _ in range(crowd.permits.count)))

    asyncio.run(live())


async def test_what_is_idle_for_more_than_a_moment_is_lent_to_whoever_waits() -> None:
    permits = Permits(1)
    await permits.acquire("slow")
    permits.idle("slow")
    async with asyncio.timeout(5.0):
        await permits.acquire("fast")
    permits.release()
    assert permits.in_use == 0
    assert permits.recall("slow")
    assert permits.in_use == 1
    permits.leave("slow")
    assert permits.in_use == 0


async def test_what_is_idle_is_not_lent_while_nobody_waits_and_no_sooner_than_a_moment() -> None:
    permits = Permits(1)
    await permits.acquire("slow")
    permits.idle("slow")
    waiting = asyncio.create_task(permits.acquire("fast"))
    await settled()
    assert not waiting.done()
    assert permits.recall("slow")
    permits.leave("slow")
    await waiting
    permits.release()


async def test_a_permit_that_is_lent_is_recalled_beyond_the_count_but_not_without_bound() -> None:
    permits = Permits(16)
    owners = [object() for _ in range(16)]
    for owner in owners:
        await permits.acquire("slow")
        permits.idle(owner)
    async with asyncio.timeout(5.0):
        for _ in range(16):
            await permits.acquire("fast")
    recalled = [permits.recall(owner) for owner in owners]
    assert recalled == [True] * 3 + [False] * 13
    assert permits.in_use == 19
    later = asyncio.create_task(permits.acquire("fast"))
    for owner in owners:
        permits.leave(owner)
    await settled()
    assert not later.done()  # those beyond the count are paid back first
    permits.release()
    await later
    assert permits.in_use == 16


async def test_an_owner_that_leaves_while_its_permit_is_lent_gives_nothing_back() -> None:
    permits = Permits(1)
    await permits.acquire("slow")
    permits.idle("slow")
    async with asyncio.timeout(5.0):
        await permits.acquire("fast")
    permits.leave("slow")
    assert permits.in_use == 1
    permits.release()
    assert permits.in_use == 0


async def test_weights_share_permits_in_their_proportion_and_starve_nobody() -> None:
    permits = Permits(1)
    await permits.acquire("first")
    served: list[str] = []

    async def take(holder: str, weight: float) -> None:
        await permits.acquire(holder, weight)
        served.append(holder)

    bulk = [asyncio.create_task(take("bulk", 1.0)) for _ in range(40)]
    await settled()
    person = [asyncio.create_task(take("person", 8.0)) for _ in range(40)]
    await settled()
    for _ in range(36):
        permits.release()
        await settled()
    assert served[0] == "person"
    assert served.count("person") == 32
    assert served.count("bulk") == 4
    for task in (*bulk, *person):
        task.cancel()
    await asyncio.gather(*bulk, *person, return_exceptions=True)
