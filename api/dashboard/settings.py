"""What is in force: the settings of this process and its configuration, without a secret."""

import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from api.access.auth import Operator
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.services import ServicesDep
from jobs.settings import Settings

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_LOGIN = re.compile(r"(?<=://)[^/?#]*@")
"""A user and a password within an address; its host can't have an `@`."""

_QUERY = re.compile(r"\?.*", re.DOTALL)


def without_secrets(address: str) -> str:
    """Return an address without user, password and query, all of which may be secret."""
    return _QUERY.sub("?…", _LOGIN.sub("…@", address))


def shown_settings(settings: Settings) -> list[tuple[str, str, bool]]:
    """Return each setting's variable, its value, and whether it is another than the default."""
    addresses = {
        "database_url": settings.resolved_database_url(),
        "broker_url": settings.resolved_broker_url(),
        "redis_url": settings.resolved_redis_url(),
    }
    return [
        (
            f"TIDEMILL_{name.upper()}",
            without_secrets(str(addresses.get(name, getattr(settings, name)))),
            getattr(settings, name) != field.default,
        )
        for name, field in Settings.model_fields.items()
    ]


@router.get("/settings")
def settings_page(request: Request, services: ServicesDep, visitor: Operator) -> Response:
    """Show settings, providers, routes and prices. Keys are names of variables and files there."""
    configuration: dict[str, Any] = services.configuration.model_dump(
        mode="json", exclude_none=True
    )
    return render(
        request,
        visitor,
        "settings.html",
        settings=shown_settings(services.settings),
        configuration=configuration,
        config_path=Path(services.settings.config).resolve(),
    )
