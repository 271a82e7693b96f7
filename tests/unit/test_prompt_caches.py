"""Who waits for whose call so that a prompt cache is written once, and which calls are marked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from jobs.configuration import Configuration
from jobs.exchange import Usage
from jobs.prices import Price, Rates
from jobs.routing import Target
from workers.gate.gate import PoolId
from workers.prompt_caching import prompt_caches, shared_primings
from workers.prompt_caching.prefix import Prefix
from workers.prompt_caching.prompt_caches import PromptCaches
from workers.prompt_caching.shared_primings import KEY, Claim, Entry, SharedPrimings

PROVIDERS = Configuration.model_validate(
    {
        "providers": {
            name: {"protocol": name, "base_url": f"http://{name}.test"}
            for name in ("anthropic", "openai", "gemini")
        }
    }
).providers
PAYS = Price(((0, Rates(1000, 100, 1250, 4000)),))
PAYS_NOT = Price(((0, Rates(1000, 1000, 1000, 4000)),))
CLAUDE, GPT = Target("anthropic", "m"), Target("openai", "m")
PREFIX = Prefix("a" * 32, 2000)
ENTRY = Entry("anthropic", "m", PREFIX.identity)
WROTE, READ, NEITHER = Usage(9, 0, 2000), Usage(9, 2000), Usage(2009)


class Fleet:
    """Worker processes with one Redis."""

    def __init__(self) -> None:
        self.redis = FakeServer()
        self.price: Price | None = PAYS

    def worker(self, name: str = "one") -> PromptCaches:
        redis = FakeAsyncRedis(server=self.redis, decode_responses=True)
        return PromptCaches(PROVIDERS, lambda *_: self.price, SharedPrimings(redis, name))


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = Fleet()
    yield fleet
    redis = FakeAsyncRedis(server=fleet.redis, decode_responses=True)
    for key in await redis.keys():
        assert str(key).startswith(KEY)
        assert await redis.pttl(key) > 0


class Jobs:
    """Jobs that begin alike, on their way to the gate."""

    def __init__(
        self, caches: PromptCaches, target: Target = CLAUDE, prefix: Prefix = PREFIX
    ) -> None:
        self.caches, self.target, self.prefix = caches, target, prefix
        self.through: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self, count: int) -> None:
        for _ in range(count):
            self.tasks.append(asyncio.create_task(self._enter(len(self.tasks))))
        await settled()

    @property
    def primer(self) -> int:
        """The one job that was let through."""
        assert len(self.through) == 1
        return self.through[0]

    async def _enter(self, number: int) -> None:
        await self.caches.enter(number, number, self.target, self.prefix)
        self.through.append(number)

    def call(self, usage: Usage | None, pool: str = "main", **of: Any) -> bool:
        """Make a call that is answered so; whether it was marked."""
        with self.caches.call(
            PoolId(self.target.provider, pool), of.get("model", self.target.model), self.prefix
        ) as call:
            call.answered(usage)
        return call.is_marked

    def fail(self) -> bool:
        with self.caches.call(PoolId(self.target.provider, "main"), "m", self.prefix) as call:
            return call.is_marked


async def settled() -> None:
    """Let everything happen that can happen at once."""
    for _ in range(30):
        await asyncio.sleep(0.001)


async def test_the_first_call_goes_alone_and_the_others_follow_its_answer(fleet: Fleet) -> None:
    jobs = Jobs(fleet.worker())
    await jobs.start(5)
    assert jobs.primer in range(5)
    assert jobs.call(WROTE)
    await settled()
    assert sorted(jobs.through) == [0, 1, 2, 3, 4]
    assert jobs.call(READ)
    await jobs.start(1)
    assert len(jobs.through) == 6


async def test_a_prefix_that_one_call_has_is_neither_waited_for_nor_marked(fleet: Fleet) -> None:
    jobs = Jobs(fleet.worker())
    await jobs.start(1)
    assert jobs.through == [0]
    assert not jobs.call(NEITHER)
    assert await FakeAsyncRedis(server=fleet.redis).keys() == []


async def test_what_is_asked_again_shares_its_prefix_with_nothing(fleet: Fleet) -> None:
    caches = fleet.worker()
    jobs = Jobs(caches)
    for _ in range(3):
        await caches.enter("owner", "the same question", CLAUDE, PREFIX)
        assert not jobs.call(NEITHER)
        caches.leave("owner")
    await caches.enter("owner", "its next part", CLAUDE, PREFIX)
    assert jobs.call(WROTE)


async def test_another_tries_if_the_first_call_failed(fleet: Fleet) -> None:
    jobs = Jobs(fleet.worker())
    await jobs.start(3)
    assert jobs.fail()
    jobs.caches.leave(jobs.primer)
    await settled()
    assert len(jobs.through) == 2
    assert jobs.call(WROTE)
    await settled()
    assert len(jobs.through) == 3


async def test_all_go_on_if_the_gate_had_no_start_for_the_first(fleet: Fleet) -> None:
    jobs = Jobs(fleet.worker())
    await jobs.start(3)
    jobs.caches.leave(jobs.primer)
    await settled()
    assert sorted(jobs.through) == [0, 1, 2]


async def test_nobody_waits_longer_than_the_patience(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_caches, "PATIENCE_S", 0.2)
    jobs = Jobs(fleet.worker())
    await jobs.start(3)
    assert jobs.primer in range(3)
    await asyncio.wait(jobs.tasks, timeout=5.0)
    assert sorted(jobs.through) == [0, 1, 2]
    # What leaves before the first call was answered doesn't write as well.
    with jobs.caches.call(PoolId("anthropic", "main"), "m", PREFIX) as first:
        assert first.is_marked
        assert not jobs.call(NEITHER)
        assert jobs.call(WROTE, pool="other")  # an account of its own has a cache of its own
    assert jobs.call(READ, pool="other")


async def test_a_job_that_is_called_off_while_it_waits_holds_up_nobody(fleet: Fleet) -> None:
    jobs = Jobs(fleet.worker())
    await jobs.start(3)
    primer = jobs.primer
    waiting = [number for number in range(3) if number != primer]
    jobs.tasks[waiting[0]].cancel()
    await settled()
    for number in (waiting[0], primer):
        jobs.caches.leave(number)
    await settled()
    assert jobs.through == [primer, waiting[1]]


async def test_a_cache_that_was_not_used_for_long_is_written_anew(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_caches, "MARGIN_S", 299.9)
    jobs = Jobs(fleet.worker())
    await jobs.start(2)
    jobs.call(WROTE)
    await settled()
    await asyncio.sleep(0.15)
    await jobs.start(3)
    assert len(jobs.through) == 3
    jobs.call(WROTE)
    await settled()
    assert len(jobs.through) == 5


async def test_a_model_that_takes_no_notice_of_the_mark_gets_no_more(fleet: Fleet) -> None:
    jobs = Jobs(fleet.worker())
    await jobs.start(3)
    assert jobs.call(NEITHER)
    await settled()
    assert sorted(jobs.through) == [0, 1, 2]
    assert not jobs.call(NEITHER)
    await jobs.start(3)
    assert len(jobs.through) == 6


async def test_an_answer_without_usage_tells_nothing_against_the_cache(fleet: Fleet) -> None:
    jobs = Jobs(fleet.worker())
    await jobs.start(2)
    assert jobs.call(None)
    assert jobs.call(READ)


async def test_who_caches_by_itself_gets_no_marks_but_its_first_call_goes_alone(
    fleet: Fleet,
) -> None:
    jobs = Jobs(fleet.worker(), GPT)
    await jobs.start(3)
    assert jobs.primer in range(3)
    assert not jobs.call(NEITHER)
    await settled()
    assert sorted(jobs.through) == [0, 1, 2]


@pytest.mark.parametrize(
    ("price", "target", "tokens"),
    [
        (None, CLAUDE, 2000),
        (PAYS_NOT, CLAUDE, 2000),
        (PAYS, CLAUDE, 1023),
        (PAYS, Target("gemini", "gemini-2.5-pro"), 2047),
        (PAYS, Target("gemini", "gemini-3.1-pro"), 4095),
    ],
)
async def test_nobody_waits_where_no_cache_holds_it_or_it_saves_nothing(
    fleet: Fleet, price: Price | None, target: Target, tokens: int
) -> None:
    fleet.price = price
    jobs = Jobs(fleet.worker(), target, Prefix("b", tokens))
    await jobs.start(3)
    assert jobs.through == [0, 1, 2]
    assert not jobs.call(NEITHER)


async def test_other_prefixes_and_models_dont_wait(fleet: Fleet) -> None:
    caches = fleet.worker()
    for target, prefix in (
        (CLAUDE, PREFIX),
        (CLAUDE, Prefix("b", 2000)),
        (Target("anthropic", "n"), PREFIX),
    ):
        jobs = Jobs(caches, target, prefix)
        await jobs.start(2)
        caches.leave(jobs.primer)


async def test_of_several_processes_one_has_the_cache_written(fleet: Fleet) -> None:
    first, second = Jobs(fleet.worker("one")), Jobs(fleet.worker("two"))
    await first.start(3)
    await second.start(3)
    assert (len(first.through), second.through) == (1, [])
    assert first.call(WROTE)
    await asyncio.wait(second.tasks, timeout=5.0)
    assert sorted(second.through) == [0, 1, 2]
    assert second.call(READ)
    await first.caches.close()


async def test_another_process_tries_if_one_gives_up(fleet: Fleet) -> None:
    first, second = Jobs(fleet.worker("one")), Jobs(fleet.worker("two"))
    await first.start(2)
    await second.start(2)
    first.fail()
    for task in first.tasks:
        task.cancel()  # or the other one would try again itself
    first.caches.leave(first.primer)
    await asyncio.wait(second.tasks, timeout=5.0, return_when=asyncio.FIRST_COMPLETED)
    assert second.primer in range(2)


async def test_a_process_waits_for_another_no_longer_than_the_patience(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Jobs(fleet.worker("one")), Jobs(fleet.worker("two"))
    await first.start(2)
    monkeypatch.setattr(prompt_caches, "PATIENCE_S", 0.2)
    await second.start(3)
    await asyncio.wait(second.tasks, timeout=5.0)
    assert sorted(second.through) == [0, 1, 2]


async def test_nobody_waits_for_a_process_that_died_with_its_claim(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_primings, "CLAIM_S", 0.3)
    redis = FakeAsyncRedis(server=fleet.redis, decode_responses=True)
    died = asyncio.create_task(SharedPrimings(redis, "one").claim(ENTRY, 30.0, 30.0))
    assert await died is Claim.OURS
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()  # with its process goes who renewed the claim
    second = Jobs(fleet.worker("two"))
    await second.start(3)
    assert second.through == []
    await asyncio.wait(second.tasks, timeout=2.0, return_when=asyncio.FIRST_COMPLETED)
    assert second.primer in range(3)


async def test_a_claim_is_kept_as_long_as_its_call_takes(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_primings, "CLAIM_S", 0.3)
    monkeypatch.setattr(shared_primings, "RENEW_EVERY_S", 0.05)
    first, second = Jobs(fleet.worker("one")), Jobs(fleet.worker("two"))
    await first.start(2)
    await second.start(2)
    await asyncio.wait(second.tasks, timeout=0.9, return_when=asyncio.FIRST_COMPLETED)
    assert second.through == []
    for task in first.tasks:
        task.cancel()  # or the other one would be let through itself
    first.caches.leave(first.primer)
    await asyncio.wait(second.tasks, timeout=2.0, return_when=asyncio.FIRST_COMPLETED)
    assert second.primer in range(2)


async def test_who_has_waited_for_its_own_process_waits_for_another_only_for_the_rest(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, patience_s = asyncio.get_running_loop(), 1.0
    monkeypatch.setattr(prompt_caches, "PATIENCE_S", patience_s)
    first, second = Jobs(fleet.worker("one")), Jobs(fleet.worker("two"))
    began = loop.time()
    await first.start(2)
    await asyncio.sleep(0.6 * patience_s)
    first.fail()
    redis = FakeAsyncRedis(server=fleet.redis, decode_responses=True)
    for key in await redis.keys():  # before this process tries again, another one does
        await redis.delete(key)
    await second.start(2)
    assert second.primer in range(2)
    first.caches.leave(first.primer)
    await asyncio.wait(first.tasks, timeout=5.0)
    assert loop.time() - began < 1.3 * patience_s
    for caches in (first.caches, second.caches):
        await caches.close()


async def test_without_redis_each_process_does_as_if_it_were_alone(fleet: Fleet) -> None:
    fleet.redis.connected = False
    first, second = Jobs(fleet.worker("one")), Jobs(fleet.worker("two"))
    for jobs in (first, second):
        await jobs.start(3)
        assert jobs.primer in range(3)
        assert jobs.call(WROTE)
        await settled()
        assert sorted(jobs.through) == [0, 1, 2]
        await jobs.caches.close()
    fleet.redis.connected = True


async def test_the_prefixes_used_last_are_remembered(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_caches, "KEPT", 2)
    caches = fleet.worker()
    for name in ("b", "c", "d"):
        jobs = Jobs(caches, CLAUDE, Prefix(name, 2000))
        await jobs.start(2)
        jobs.call(WROTE)
    assert not Jobs(caches, CLAUDE, Prefix("b", 2000)).call(NEITHER)
    assert Jobs(caches, CLAUDE, Prefix("d", 2000)).call(READ)
