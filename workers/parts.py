"""What a worker process is made of: built once, handed to whatever needs a part of it."""

import asyncio
from dataclasses import dataclass

import httpx

from jobs.configuration import Configuration
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.spans import Tracing
from workers.calls.calls import Caller
from workers.calls.keys import Keyring
from workers.gate.gate import Gate
from workers.job.blame import Blame
from workers.job.forecast import Forecast
from workers.job.planning import Planning
from workers.job.suspicion import Quarantine
from workers.prompt_caching.prompt_caches import PromptCaches
from workers.slices.feeding import FeedLine
from workers.slices.in_flight import InFlight
from workers.slices.vigil import Vigil
from workers.transactions import Transactions
from workers.writer import Writer


@dataclass(frozen=True, slots=True)
class Parts:
    """The shared parts of one process; all of them live on its event loop."""

    settings: Settings
    configuration: Configuration
    catalogue: Catalogue
    prices: PriceBook
    keys: Keyring
    transactions: Transactions
    writer: Writer
    feed: FeedLine
    in_flight: InFlight
    gate: Gate
    forecast: Forecast
    vigil: Vigil
    blame: Blame
    quarantine: Quarantine
    prompt_caches: PromptCaches
    planning: Planning
    transport: httpx.AsyncBaseTransport
    caller: Caller
    tracing: Tracing | None = None

    async def close(self) -> None:
        """Tell, write and close what is left; nobody uses the parts any more."""
        await self.feed.close()
        await self.writer.close()
        self.transactions.close()
        self.planning.close()
        await self.transport.aclose()
        await self.prompt_caches.close()
        await self.gate.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
