"""Which path is which provider's."""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from scripts.simulator.dialects import DIALECTS, Dialect

GEMINI_ROOTS = ("/gemini/v1beta/models/", "/gemini/v1/models/")
GEMINI_METHOD = ":generateContent"

PATHS = {
    "/v1/chat/completions": "openai",
    "/v1/responses": "responses",
    "/mistral/v1/chat/completions": "mistral",
    "/anthropic/v1/messages": "anthropic",
}


class Route(NamedTuple):
    """A provider's endpoint; `model` is empty where the body names it."""

    dialect: Dialect
    model: str


@lru_cache(maxsize=1024)
def find_route(path: str) -> Route | None:
    """Return the endpoint that answers `POST path`, None where there is none."""
    if path in PATHS:
        return Route(DIALECTS[PATHS[path]], "")
    for root in GEMINI_ROOTS:
        if path.startswith(root) and path.endswith(GEMINI_METHOD):
            model = unquote(path.removeprefix(root).removesuffix(GEMINI_METHOD))
            return Route(DIALECTS["gemini"], model) if model else None
    return None
