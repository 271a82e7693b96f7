"""Which path is which question to a provider's batch API."""

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from scripts.simulator.batches.form import Done
from scripts.simulator.faults import Place
from scripts.simulator.requests import Request

Answer = Callable[..., Done]
"""Is given the desk, the request, and what stands in the path where the route has `{}`."""


class Route(NamedTuple):
    """A method and a path, with `{}` for each name in it; `place` is what faults call it."""

    method: str
    path: str
    place: Place
    answer: Answer

    def names_in(self, request: Request) -> tuple[str, ...] | None:
        """Return the names in a request's path, None where it isn't this route's."""
        if request.method != self.method:
            return None
        found = re.fullmatch(re.escape(self.path).replace(r"\{\}", "([^/:]+)"), request.path)
        return None if found is None else tuple(map(unquote, found.groups()))


def names_of(routes: tuple[Route, ...], request: Request) -> tuple[Route, tuple[str, ...]] | None:
    """Return the route that a request takes, and the names in its path."""
    for route in routes:
        names = route.names_in(request)
        if names is not None:
            return route, names
    return None
