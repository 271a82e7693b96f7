"""Wiring: the one place that builds a worker process's parts."""

import os
import secrets
import socket

from celery import Celery
from redis.asyncio import Redis

from jobs.configuration import Configuration
from jobs.feed import Feeder
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.store import Database, check_schema, open_database
from jobs.store.workers import WorkerCard
from workers.calls import Caller
from workers.feeding import FeedLine
from workers.forecast import Forecast
from workers.gate.shared_pause import SharedPause
from workers.in_flight import InFlight
from workers.keys import Keyring
from workers.parts import Parts
from workers.runtime import Runtime, RuntimeOptions
from workers.transactions import Transactions
from workers.transport import AiohttpTransport
from workers.vigil import Vigil
from workers.writer import Writer

REDIS_PATIENCE_S = 2.0
"""How long the gate waits for an answer of its Redis before it asks again."""


def build_parts(
    settings: Settings, configuration: Configuration, database: Database, celery: Celery
) -> Parts:
    """Build the parts of one process. To be called on its event loop."""
    redis = Redis.from_url(
        settings.resolved_redis_url(),
        decode_responses=True,
        socket_timeout=REDIS_PATIENCE_S,
        socket_connect_timeout=REDIS_PATIENCE_S,
        health_check_interval=10,
    )
    transport = AiohttpTransport()
    return Parts(
        settings=settings,
        configuration=configuration,
        catalogue=Catalogue(configuration),
        prices=PriceBook(configuration),
        keys=Keyring(configuration),
        transactions=Transactions(database),
        writer=Writer(database),
        feed=FeedLine(Feeder(database, celery)),
        in_flight=InFlight(settings.max_in_flight),
        gate=SharedPause(
            redis,
            {
                name: tuple(pool.name for pool in provider.pools)
                for name, provider in configuration.providers.items()
            },
        ),
        forecast=Forecast(),
        vigil=Vigil(),
        transport=transport,
        caller=Caller(transport, deadline_s=settings.call_deadline_s),
    )


def build_runtime(
    settings: Settings, configuration: Configuration, celery: Celery, *, slots: int
) -> Runtime:
    """Build a worker process's runtime, not started yet.

    Raises:
        SchemaMismatch: the database is not at this version's schema.
    """
    database = open_database(settings.resolved_database_url())
    check_schema(database)
    host = socket.gethostname()
    card = WorkerCard(
        id=f"{host}-{os.getpid()}-{secrets.token_hex(4)}",
        host=host,
        pid=os.getpid(),
        queues=tuple(configuration.providers),
        slots=slots,
    )
    return Runtime(
        RuntimeOptions(
            settings=settings,
            configuration=configuration,
            card=card,
            build=lambda: build_parts(settings, configuration, database, celery),
        )
    )
