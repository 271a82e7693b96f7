"""One call for a job, once it may leave: made, and told to the gate and to the books as it ended."""

import asyncio
import logging
from dataclasses import dataclass

from pydantic import SecretStr

from jobs.configuration import Provider
from jobs.errors import (
    AuthenticationFailed,
    CallBrokeDown,
    Overloaded,
    Permanent,
    ProviderError,
    ServerFailed,
)
from jobs.exchange import Answer
from jobs.prices import Price
from jobs.routing import Target
from jobs.store.attempts.reports import Journal, Settlement
from workers.calls.echoes import without_echo
from workers.gate.gate import Ending, Grant
from workers.job import conclusions
from workers.job.dialogue import Dialogue
from workers.job.next_step import is_doubtful
from workers.slices.open_slice import OpenSlice

log = logging.getLogger(__name__)

_ORDERS = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)
"""What is raised in a job without a fault. Of the rest a BaseException is one as well: libraries in
Rust panic so."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that brought no answer."""

    journal: Journal
    error: ProviderError
    latency_s: float
    is_probe: bool


@dataclass(frozen=True, slots=True)
class SentCall:
    """A call whose attempt is journaled.

    `is_at_fault`: its job failed where others were answered. `is_alone`: it was told to be one too many
    again and again, and others were not.
    """

    opened: OpenSlice
    dialogue: Dialogue
    price: Price | None
    journal: Journal
    grant: Grant
    is_at_fault: bool
    is_alone: bool

    async def make(self) -> tuple[Ending, Settlement | Failure]:
        """Call the provider; return how it ended for the gate and for the books.

        A fault of our own is a failure as well: it must be counted.
        """
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        try:
            return await self._make()
        except _ORDERS:
            raise
        except BaseException:
            log.exception("a call for a job of %s broke down", self.opened)
            failure = Failure(
                self.journal, CallBrokeDown(), loop.time() - sent_at, self.grant.is_probe
            )
            return Ending(sent=True, cut_off=True), failure

    def _seen_alone(self, error: ProviderError) -> ProviderError:
        """Return what an error is taken for: nobody is overloaded by one job alone."""
        if not (self.is_alone and isinstance(error, Overloaded)):
            return error
        return ServerFailed(
            error.message, status=error.status, wait_s=error.wait_s, headers=error.headers
        )

    async def _answer(self, provider: Provider, key: SecretStr | None) -> Answer:
        """Call; what may come from a prompt cache is told to those."""
        parts, model, dialogue = self.opened.parts, self.grant.ask.model, self.dialogue
        call, prefix = parts.caller.call, dialogue.prefix
        if prefix is None:
            return await call(provider, key, model, dialogue.request)
        with parts.prompt_caches.call(self.grant.pool, model, prefix) as cached:
            kept = prefix if cached.is_marked else None
            answer = await call(provider, key, model, dialogue.request, kept=kept)
            cached.answered(answer.usage)
            return answer

    async def _make(self) -> tuple[Ending, Settlement | Failure]:
        parts, pool = self.opened.parts, self.grant.pool
        loop = asyncio.get_running_loop()
        provider = parts.configuration.providers[pool.provider]
        sent_at = loop.time()
        key = None
        try:
            key = parts.keys.key(pool)
            answer = await self._answer(provider, key)
        except ProviderError as raised:
            return self._failed(raised, provider, key, loop.time() - sent_at)
        return self._answered(answer, provider, loop.time() - sent_at)

    def _failed(
        self, raised: ProviderError, provider: Provider, key: SecretStr | None, latency_s: float
    ) -> tuple[Ending, Failure]:
        """Return how a call ended that brought no answer; `key` is None if there was none to use."""
        parts, pool, error = self.opened.parts, self.grant.pool, self._seen_alone(raised)
        readings = parts.caller.readings(provider, error.headers)
        if isinstance(error, Permanent):
            parts.blame.answered(pool, latency_s)
        is_keys_fault = isinstance(error, AuthenticationFailed) and parts.keys.rests(pool, key)
        ending = Ending(
            True,
            error=without_echo(error, self.dialogue.request),
            latency_s=latency_s,
            readings=readings,
            spares_pool=is_keys_fault or (self.is_at_fault and is_doubtful(error)),
        )
        return ending, Failure(self.journal, error, latency_s, self.grant.is_probe)

    def _answered(
        self, answer: Answer, provider: Provider, latency_s: float
    ) -> tuple[Ending, Settlement]:
        """Return how a call ended that was answered; whoever forecasts and blames is told of it."""
        parts, ask, dialogue = self.opened.parts, self.grant.ask, self.dialogue
        parts.blame.answered(self.grant.pool, latency_s)
        readings = parts.caller.readings(provider, answer.headers)
        parts.forecast.observe(
            ask.provider,
            ask.model,
            self.opened.lease.batch_id,
            dialogue.estimated_tokens,
            answer.usage,
        )
        ending = Ending(True, usage=answer.usage, latency_s=latency_s, readings=readings)
        latency_ms = round(latency_s * 1000)
        heard = dialogue.hear(answer, Target(ask.provider, ask.model))
        return ending, conclusions.of_answer(self.journal, answer, self.price, heard, latency_ms)
