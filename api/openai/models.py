"""Models: what a line may name. A provider's patterns stand for more than can be listed."""

from fastapi import APIRouter

from api.access.auth import MAY_READ
from api.openai.shapes import ModelPage, ModelShape
from api.services import ServicesDep
from jobs.errors import NotFound, UnknownModel

router = APIRouter(tags=["openai: models"], dependencies=[MAY_READ])


@router.get("/models")
def list_models(services: ServicesDep) -> ModelPage:
    """List the routes, and the models that the configuration names."""
    listed = services.catalogue.names().items()
    return ModelPage(data=[ModelShape(id=name, owned_by=owner) for name, owner in listed])


@router.get("/models/{model:path}")
def get_model(services: ServicesDep, model: str) -> ModelShape:
    """Return a model that can be used, whether it is listed or matches a pattern."""
    try:
        resolved = services.catalogue.resolve(model)
    except UnknownModel as error:
        raise NotFound(error.message) from None
    owner = services.catalogue.names().get(model, resolved.targets[0].provider)
    return ModelShape(id=model, owned_by=owner)
