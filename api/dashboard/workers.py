"""The workers: who is there, what they have in hand, who was lost."""

from fastapi import APIRouter, Request, Response

from api.access.auth import Viewer
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.services import ServicesDep
from jobs.store import workers

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/workers")
def workers_page(request: Request, services: ServicesDep, visitor: Viewer) -> Response:
    """Show the worker processes that were heard of within a day."""
    with services.database.read() as session:
        found = workers.listed(session)
    living = [worker for worker in found if worker.is_alive]
    served = {queue for worker in living for queue in worker.card.queues}
    return render(
        request,
        visitor,
        "workers.html",
        workers=found,
        living=len(living),
        in_flight=sum(worker.in_flight for worker in living),
        unserved=sorted(set(services.configuration.providers) - served),
    )
