"""`/metrics`: the figures of the whole and of this process, in Prometheus' text format."""

import asyncio
import time

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.access.auth import MAY_SEE_METRICS
from api.gate import pools_of_gate
from api.listening.following import Listening
from api.metrics import Answered, Whole
from api.services import Services, ServicesDep
from jobs.errors import ServiceUnavailable
from jobs.pools import PoolState
from jobs.store.census import Census, take_census

router = APIRouter(tags=["metrics"], dependencies=[MAY_SEE_METRICS])

KEPT_S = 5.0
"""How old what the rows and the gate told may be: however many scrape, they are asked once."""


class Readings:
    """What was told last of the whole. Used by the process's one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._last: tuple[Census, list[PoolState] | None] | None = None
        self._until_s = 0.0

    async def read(self, services: Services) -> tuple[Census, list[PoolState] | None]:
        """Return the census, and the pools, None if the gate's Redis doesn't answer.

        Raises:
            ServiceUnavailable: the database doesn't answer: Prometheus shows that as being down.
        """
        async with self._turn:
            if self._last is None or time.monotonic() > self._until_s:
                census = await run_in_threadpool(_census, services)
                try:
                    pools = await pools_of_gate(services)
                except ServiceUnavailable:
                    pools = None
                self._last = census, pools
                self._until_s = time.monotonic() + KEPT_S
            return self._last


def _census(services: Services) -> Census:
    with services.database.read() as session:
        return take_census(session)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def get_metrics(request: Request, services: ServicesDep) -> Response:
    """Return the figures: docs/monitoring.md lists them. They are of all projects together."""
    readings: Readings = request.app.state.readings
    answered: Answered = request.app.state.answered
    listening: Listening = request.app.state.listening
    census, pools = await readings.read(services)
    whole = CollectorRegistry(auto_describe=False)
    whole.register(Whole(census, pools, listening.watcher.listeners))
    body = generate_latest(whole) + generate_latest(answered.registry)
    return Response(body, media_type=CONTENT_TYPE_LATEST)
