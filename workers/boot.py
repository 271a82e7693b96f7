"""Wiring: the one place that builds a worker process's parts."""

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial

import httpx
from celery import Celery
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobs.clock import utcnow
from jobs.configuration import Configuration
from jobs.errors import ConfigurationError
from jobs.feed import Feeder
from jobs.live import LiveCalls
from jobs.prices import PriceBook
from jobs.queues import make_celery
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.store import Database, check_schema, once_reachable, open_database
from jobs.store.money.ledger import used_since
from jobs.store.workers import WorkerCard
from jobs.tracing import open_tracing
from workers.calls.calls import Caller
from workers.calls.keys import Keyring
from workers.calls.transport import AiohttpTransport
from workers.gate.gate import PoolId
from workers.gate.redis_gate import RedisGate
from workers.job.blame import Blame
from workers.job.forecast import Forecast
from workers.job.planning import Planning
from workers.job.suspicion import Quarantine
from workers.live.switchboard import Switchboard
from workers.parts import Parts
from workers.pipelines.conductor import Conductor, Doors
from workers.pipelines.judging import Judge, limits_of_gate
from workers.pipelines.rows_ahead import stages_of
from workers.pipelines.sinks import Sinks
from workers.pipelines.sources import Sources
from workers.prompt_caching.prompt_caches import PromptCaches
from workers.prompt_caching.shared_primings import SharedPrimings
from workers.runtime import Runtime, RuntimeOptions
from workers.slices.feeding import FeedLine
from workers.slices.in_flight import InFlight
from workers.slices.vigil import Vigil
from workers.transactions import Transactions
from workers.writer import Writer

REDIS_PATIENCE_S = 2.0
"""How long the gate waits for an answer of its Redis before it asks again."""

BOARDING_S = 5.0
"""Between a grant and the first byte of its call at the very most: a start's horizon and the journal."""


def build_parts(
    settings: Settings,
    configuration: Configuration,
    database: Database,
    celery: Celery,
    process: str,
) -> Parts:
    """Build the parts of one process, called `process`. To be called on its event loop."""
    redis = Redis.from_url(
        settings.resolved_redis_url(),
        decode_responses=True,
        socket_timeout=REDIS_PATIENCE_S,
        socket_connect_timeout=REDIS_PATIENCE_S,
        retry=Retry(NoBackoff(), 0),  # a round that runs twice might give back twice
    )
    transport = _transport(settings)
    keys, prices = Keyring(configuration), PriceBook(configuration)
    transactions = Transactions(database)

    async def used_today(pool: PoolId, models: tuple[str, ...], since: datetime) -> tuple[int, int]:
        return await transactions.read(lambda session: used_since(session, pool, models, since))

    return Parts(
        settings=settings,
        configuration=configuration,
        catalogue=Catalogue(configuration),
        prices=prices,
        keys=keys,
        transactions=transactions,
        writer=Writer(database),
        feed=FeedLine(Feeder(database, celery), transactions),
        in_flight=InFlight(settings.max_in_flight),
        gate=RedisGate(
            redis,
            configuration,
            keys.is_usable,
            used_today,
            process,
            longest_call_s=settings.call_deadline_s + BOARDING_S,
        ),
        forecast=Forecast(),
        vigil=Vigil(),
        blame=Blame(),
        quarantine=Quarantine(),
        prompt_caches=PromptCaches(
            configuration.providers,
            lambda provider, model: prices.price(provider, model, utcnow()),
            SharedPrimings(redis, process),
        ),
        planning=Planning(),
        transport=transport,
        caller=Caller(transport, deadline_s=settings.call_deadline_s),
        tracing=open_tracing(settings.traces, "worker"),
    )


@asynccontextmanager
async def live_calls(settings: Settings, configuration: Configuration) -> AsyncIterator[LiveCalls]:
    """Yield what makes the live calls of a process, on its event loop; the calls are settled at the end.

    Nothing is connected to before the first call: a process may well have none.
    """
    process = _process_name()
    database = open_database(settings.resolved_database_url())
    # The other client hands a reply on when it is whole.
    streaming = settings.model_copy(update={"http_client": "aiohttp"})
    parts = build_parts(streaming, configuration, database, make_celery(settings), process)
    switchboard = Switchboard(parts, process)
    try:
        yield switchboard
    finally:
        await switchboard.close()
        await parts.close()
        database.close()


def _process_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _transport(settings: Settings) -> httpx.AsyncBaseTransport:
    if settings.http_client == "aiohttp":
        return AiohttpTransport()
    try:
        from workers.calls.reqwest_transport import ReqwestTransport  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ConfigurationError(
            "TIDEMILL_HTTP_CLIENT=pyreqwest needs the extra `fast`: pip install 'tidemill[fast]'"
        ) from error
    return ReqwestTransport(deadline_s=settings.call_deadline_s)


def build_runtime(
    settings: Settings, configuration: Configuration, celery: Celery, *, slots: int
) -> Runtime:
    """Build a worker process's runtime, not started yet; waits for the database.

    Raises:
        SchemaMismatch: the database is not at this version's schema.
    """
    database = open_database(settings.resolved_database_url())
    once_reachable(database, check_schema)
    card = WorkerCard(
        id=_process_name(),
        host=socket.gethostname(),
        pid=os.getpid(),
        queues=tuple(configuration.providers),
        slots=slots,
    )
    return Runtime(
        RuntimeOptions(
            settings=settings,
            configuration=configuration,
            card=card,
            build=lambda: build_parts(settings, configuration, database, celery, card.id),
        )
    )


def build_conductor(
    settings: Settings, configuration: Configuration, database: Database, celery: Celery
) -> Conductor:
    """Build what looks after the runs of pipelines, not started yet."""
    base = settings.pipelines_folder().parent
    catalogue = Catalogue(configuration)
    return Conductor(
        database,
        partial(stages_of, catalogue, PriceBook(configuration)),
        Doors(Sources(database, base), Sinks(base), Feeder(database, celery).feed),
        Judge(configuration, catalogue, partial(limits_of_gate, settings, configuration)),
        slice_size=settings.slice_size,
    )
