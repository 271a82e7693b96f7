"""Models: what a request may name. A provider's patterns stand for more than can be listed."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.access.auth import MAY_READ
from api.anthropic.shapes import ListedModel, ListedModels, page_of
from api.anthropic.tolerated import TOLERATED
from api.query import WholeNumber
from api.services import ServicesDep
from jobs.errors import InvalidCursor, NotFound, UnknownModel

router = APIRouter(tags=["anthropic: models"], dependencies=[MAY_READ, TOLERATED])


@router.get("/models")
def list_models(
    services: ServicesDep,
    limit: Annotated[WholeNumber, Query(ge=1, le=1000)] = 20,
    after_id: str | None = None,
    before_id: str | None = None,
) -> ListedModels:
    """List the routes, and the models that the configuration names."""
    names = list(services.catalogue.names())
    start, end = 0, len(names)
    if before_id is not None:
        end = _place(names, before_id, "before_id")
        start = max(0, end - limit - 1)
    elif after_id is not None:
        start = _place(names, after_id, "after_id") + 1
    shown = [ListedModel(id=name, display_name=name) for name in names[start:end][: limit + 1]]
    return ListedModels(**page_of(shown, limit, is_backward=before_id is not None))


@router.get("/models/{model:path}")
def get_model(services: ServicesDep, model: str) -> ListedModel:
    """Return a model that can be used, whether it is listed or matches a pattern."""
    try:
        services.catalogue.resolve(model)
    except UnknownModel as error:
        raise NotFound(error.message) from None
    return ListedModel(id=model, display_name=model)


def _place(names: list[str], name: str, parameter: str) -> int:
    if name not in names:
        raise InvalidCursor(
            "there is no such model in this list; expected the id of one", field=parameter
        )
    return names.index(name)
