"""The web application: wiring, start and end."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from api.access.audit import Refusals
from api.access.auth import require_declared
from api.access.browsers import BrowserRules
from api.access.known_keys import Guesses, KnownKeys
from api.anthropic import batches as anthropic_batches
from api.anthropic import messages as anthropic_messages
from api.anthropic import models as anthropic_models
from api.anthropic.errors import ANTHROPIC
from api.anthropic.errors import ERRORS as ANTHROPIC_ERRORS
from api.dashboard import batch as batch_page
from api.dashboard import batches as batches_page
from api.dashboard import login as login_page
from api.dashboard import pipelines as pipelines_page
from api.dashboard import pools as pools_page
from api.dashboard import results as results_page
from api.dashboard import settings as settings_page
from api.dashboard import static_files
from api.dashboard import usage as usage_page
from api.dashboard import workers as workers_page
from api.description.app import DescribedApp
from api.description.problems import PROBLEMS
from api.errors import install_error_handlers
from api.etags import Etags
from api.listening.following import Listening
from api.listening.pages import Pages
from api.listening.watcher import Watcher
from api.metrics import Answered, Measured
from api.openai import batches as openai_batches
from api.openai import chat as openai_chat
from api.openai import files as openai_files
from api.openai import models as openai_models
from api.openai import uploads as openai_uploads
from api.openai.errors import ERRORS, OPENAI
from api.openai.readers import Readers
from api.packing import Packing
from api.routes import (
    attempts,
    batches,
    budget,
    events,
    front,
    health,
    metrics,
    pipelines,
    pools,
    progress,
    receipts,
    reconciliation,
    results,
    retries,
    runs,
    sockets,
    submissions,
    usage,
    webhooks,
)
from api.server.front_door import FrontDoor
from api.services import PATIENCE_S, Services
from api.surface_errors import SurfaceErrors
from jobs.configuration import Configuration
from jobs.feed import Feeder
from jobs.live import LiveCalls
from jobs.loop_lag import watch_loop
from jobs.pipelines.folder import PipelineFolder
from jobs.prices import PriceBook
from jobs.queues import make_celery
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.store import open_database
from jobs.tokens import token_counter
from jobs.tracing import open_tracing

LiveLine = AbstractAsyncContextManager[LiveCalls]
"""What makes live calls, from the application's start to its end."""


def create_app(
    settings: Settings, configuration: Configuration, live: LiveLine | None = None
) -> FastAPI:
    """Return the application. The database is expected to be at this version's schema.

    Without `live`, live calls are answered with 503.

    Raises:
        ConfigurationError: tokens can't be counted in the way that is configured.
        RuntimeError: a route of this version says neither which scope it needs nor that it is public.
    """
    services = _services(settings, configuration)
    readers = Readers(services)
    answered = Answered()
    listening = Listening(Watcher(services.database), Pages(services.database))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readers.start()
        watching = asyncio.create_task(watch_loop(answered.lag))
        async with live or nullcontext() as app.state.live:
            yield
        watching.cancel()
        await listening.watcher.close()
        await run_in_threadpool(readers.stop)
        services.feeding.shutdown(cancel_futures=True)
        services.database.close()
        if services.tracing is not None:
            await run_in_threadpool(services.tracing.close)

    app = DescribedApp(
        title="Tidemill",
        lifespan=lifespan,
        redirect_slashes=False,
        # Described by a route of ours, which says like every other that it is public.
        openapi_url=None,
    )
    app.state.listening = listening
    app.state.answered = answered
    _remember(app, services, readers)
    install_error_handlers(app)
    _add_middlewares(app, answered)
    _include_routes(app)
    require_declared(app)
    return app


def _add_middlewares(app: FastAPI, answered: Answered) -> None:
    """Add what every request goes through; the last one added is the first that it comes to."""
    app.add_middleware(Etags)
    app.add_middleware(Packing)
    app.add_middleware(FrontDoor)
    app.add_middleware(BrowserRules)
    app.add_middleware(SurfaceErrors, surface=OPENAI)
    app.add_middleware(SurfaceErrors, surface=ANTHROPIC)
    app.add_middleware(Measured, answered=answered)


def _remember(app: FastAPI, services: Services, readers: Readers) -> None:
    """Put what routes and checks share where they find it."""
    app.state.services = services
    app.state.readers = readers
    app.state.readings = metrics.Readings()
    app.state.known_keys = KnownKeys()
    app.state.guesses = Guesses()
    app.state.refusals = Refusals()


def _services(settings: Settings, configuration: Configuration) -> Services:
    count_tokens = token_counter(settings.token_counting)
    database = open_database(settings.resolved_database_url(), patience_s=PATIENCE_S)
    catalogue = Catalogue(configuration)
    return Services(
        settings=settings,
        configuration=configuration,
        catalogue=catalogue,
        pipelines=PipelineFolder(settings.pipelines_folder(), catalogue),
        prices=PriceBook(configuration),
        database=database,
        count_tokens=count_tokens,
        feeder=Feeder(database, make_celery(settings)),
        feeding=ThreadPoolExecutor(1, thread_name_prefix="feed"),
        tracing=open_tracing(settings.traces, "api"),
    )


def _include_routes(app: FastAPI) -> None:
    app.include_router(health.router, responses=PROBLEMS)
    app.include_router(front.router)
    app.include_router(metrics.router, responses=PROBLEMS)
    for page in (
        static_files,
        login_page,
        batches_page,
        results_page,
        batch_page,
        pipelines_page,
        pools_page,
        workers_page,
        usage_page,
        settings_page,
    ):
        app.include_router(page.router)
    for router in (
        submissions.router,
        batches.router,
        results.router,
        events.router,
        sockets.router,
        attempts.router,
        reconciliation.router,
        progress.router,
        retries.router,
        receipts.router,
        usage.router,
        budget.router,
        pools.router,
        webhooks.router,
        pipelines.router,
        runs.router,
    ):
        app.include_router(router, prefix="/api", responses=PROBLEMS)
    for router in (
        openai_uploads.router,
        openai_files.router,
        openai_batches.router,
        openai_models.router,
        openai_chat.router,
    ):
        app.include_router(router, prefix="/v1", responses=ERRORS)
    for router in (
        anthropic_batches.router,
        anthropic_messages.router,
        anthropic_models.router,
    ):
        app.include_router(router, prefix="/anthropic/v1", responses=ANTHROPIC_ERRORS)
