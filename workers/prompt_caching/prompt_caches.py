"""The providers' prompt caches, as one process uses them: each is written by one call, then read by all.

Of jobs that begin alike one goes alone: its call writes the cache. The others wait, before they
ask the gate and with berths that are lent, until it was answered, failed, or took too long. If it failed
after it was sent, the next one tries. If it wasn't sent (the gate had no start for it), all go on: a pool
that is blocked or slow is no place to queue up for one another.

Where a cache is written only on demand, at a higher price, that is demanded of one call at a time until
one was answered, and not at all for a prefix that only one call has begun with.

A hint for money, never a condition: whatever is forgotten here costs a dearer call, and no job waits for
longer than `PATIENCE_S`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from jobs.configuration import Provider
from jobs.exchange import Usage
from jobs.prices import Price
from jobs.routing import Target
from workers.gate.gate import PoolId
from workers.prompt_caching.prefix import Prefix
from workers.prompt_caching.shared_primings import Claim, Entry, SharedPrimings, Warm
from workers.protocols.caches import CacheRules, cache_rules

PATIENCE_S = 30.0
"""How long a job waits for other jobs' calls, at each of its attempts. Most answers take less."""

MARGIN_S = 30.0
"""So much earlier than a provider forgets an entry it is taken for forgotten: a call must get there."""

USELESS_S = 3600.0
"""How long a prefix is not marked after its provider has taken no notice of a mark."""

KEPT = 4096
"""Prefixes that are remembered, in 4 MB; the ones unused for longest go."""


@dataclass(eq=False, slots=True)
class _Known:
    """What is known of a prefix at a provider's model; times are the event loop's."""

    rules: CacheRules
    first: Hashable = None
    """What was the first to ask that begins so."""
    is_shared: bool = False
    """Whether another one has asked since."""
    warm_until: dict[str, float] = field(default_factory=dict)
    """By pool: accounts don't share their caches."""
    written_in: set[str] = field(default_factory=set)
    """Pools in which a marked call is on its way, and nothing can be read yet."""
    useless_until: float = 0.0
    priming: "_Priming | None" = None

    def is_warm(self, now: float) -> bool:
        """Whether the cache can be read in some pool."""
        return any(now < until for until in self.warm_until.values())

    def use(self, pool: str, now: float) -> None:
        """Note that the provider keeps it again for its whole time."""
        self.warm_until[pool] = now + self.rules.kept_s - MARGIN_S


@dataclass(eq=False, slots=True)
class _Priming:
    """A job on its way to have a cache written. `ended` says whether another one should try."""

    entry: Entry
    known: _Known
    ended: "asyncio.Future[bool]"
    is_sent: bool = False

    def end(self, *, try_another: bool = False) -> None:
        """Let those go who wait."""
        if not self.ended.done():
            self.known.priming = None
            self.ended.set_result(try_another)


@dataclass(slots=True)
class CachedCall:
    """A call whose beginning may come from a cache. `is_marked`: its provider is asked to keep it."""

    is_marked: bool
    is_answered: bool = False
    usage: Usage | None = None

    def answered(self, usage: Usage | None) -> None:
        """Note the answer, and what it says of the tokens."""
        self.is_answered, self.usage = True, usage


class PromptCaches:
    """Those of one process; used on its event loop.

    Args:
        providers: as they are configured.
        price: of a provider's model now; None if nobody knows it.
        shared: what the other processes are told.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        price: Callable[[str, str], Price | None],
        shared: SharedPrimings,
    ) -> None:
        self._providers = providers
        self._price = price
        self._shared = shared
        self._entries: OrderedDict[Entry, _Known] = OrderedDict()
        self._primings: dict[Hashable, _Priming] = {}

    async def enter(
        self, owner: Hashable, question: Hashable, target: Target, prefix: Prefix
    ) -> None:
        """Wait until a call that begins so may ask the gate; `leave` whatever becomes of it.

        `question` is the same whenever the same is asked again: that alone shares nothing.
        """
        entry = Entry(target.provider, target.model, prefix.identity)
        known = self._of(entry, prefix.tokens)
        if known is None:
            return
        if known.first is None:
            known.first = question
            await asyncio.sleep(0)  # the other jobs of its slice have been started, and are next
        known.is_shared |= question != known.first
        if not known.is_shared:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        while (
            (now := loop.time()) < until and not known.is_warm(now) and now >= known.useless_until
        ):
            if (priming := known.priming) is None:
                await self._prime(owner, entry, known, until)
                return
            await asyncio.wait({priming.ended}, timeout=until - now)
            if not (priming.ended.done() and priming.ended.result()):
                return

    def leave(self, owner: Hashable) -> None:
        """Note that a call has ended, or was not made."""
        priming = self._primings.pop(owner, None)
        if priming is not None and not priming.ended.done():
            self._shared.gives_up(priming.entry)
            priming.end(try_another=priming.is_sent)

    @contextmanager
    def call(self, pool: PoolId, model: str, prefix: Prefix) -> Iterator[CachedCall]:
        """Note a call from its first byte to its end, and say whether it is to be marked."""
        entry = Entry(pool.provider, model, prefix.identity)
        known = self._of(entry, prefix.tokens)
        if known is None:
            yield CachedCall(is_marked=False)
            return
        now = asyncio.get_running_loop().time()
        can_read = now < known.warm_until.get(pool.pool, 0.0)
        call = CachedCall(_marks(known, pool.pool, now, can_read=can_read))
        writes = call.is_marked and not can_read
        if writes:
            known.written_in.add(pool.pool)
        if known.priming is not None:
            known.priming.is_sent = True
        try:
            yield call
        finally:
            if writes:
                known.written_in.discard(pool.pool)
            if call.is_answered:
                self._learn(entry, known, pool.pool, call)

    async def close(self) -> None:
        """Wait until the other processes are told what there is to tell."""
        await self._shared.close()

    async def _prime(self, owner: Hashable, entry: Entry, known: _Known, until: float) -> None:
        """Let the owner's call write the cache, unless another process has it done meanwhile."""
        loop = asyncio.get_running_loop()
        priming = _Priming(entry, known, loop.create_future())
        known.priming = self._primings[owner] = priming
        claim = await self._shared.claim(entry, PATIENCE_S, until - loop.time())
        if claim is Claim.OURS:
            return
        if isinstance(claim, Warm):
            known.use(claim.pool, loop.time())
        del self._primings[owner]
        priming.end()

    def _learn(self, entry: Entry, known: _Known, pool: str, call: CachedCall) -> None:
        """Draw the conclusions from an answer: most often that the cache can be read now."""
        if known.rules.is_asked_for and not call.is_marked:
            return
        now, usage = asyncio.get_running_loop().time(), call.usage
        if call.is_marked and usage is not None and not has_cached(usage):
            known.useless_until = now + USELESS_S
            self._shared.gives_up(entry)
        else:
            if now >= known.warm_until.get(pool, 0.0):
                self._shared.is_warm(entry, pool, known.rules.kept_s - MARGIN_S)
            known.use(pool, now)
        if known.priming is not None:
            known.priming.end()

    def _of(self, entry: Entry, tokens: int) -> _Known | None:
        """Return what is known of a prefix; None where no cache holds it, or it pays for nothing."""
        provider = self._providers[entry.provider]
        rules = cache_rules(provider.protocol, entry.model)
        if tokens < rules.fewest_tokens:
            return None
        price = self._price(entry.provider, entry.model)
        if price is None or not price.makes_caching_pay:
            return None
        known = self._entries.get(entry)
        if known is not None:
            self._entries.move_to_end(entry)
            return known
        if len(self._entries) >= KEPT:
            self._entries.popitem(last=False)
        known = self._entries[entry] = _Known(rules)
        return known


def _marks(known: _Known, pool: str, now: float, *, can_read: bool) -> bool:
    """Whether a call is marked: if there is something to read, or nobody else is writing it."""
    if not known.rules.is_asked_for or not known.is_shared or now < known.useless_until:
        return False
    return can_read or pool not in known.written_in


def has_cached(usage: Usage) -> bool:
    """Whether the provider has read or written a cache."""
    return usage.cached_input_tokens > 0 or usage.cache_write_tokens > 0
