"""Which path is which provider's."""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from scripts.simulator.dialects import DIALECTS, Dialect

GEMINI_ROOTS = ("/gemini/v1beta/models/", "/gemini/v1/models/")
GEMINI_METHODS = {":generateContent": False, ":streamGenerateContent": True}
"""And whether they answer in events."""

PATHS = {
    "/v1/chat/completions": "openai",
    "/v1/responses": "responses",
    "/mistral/v1/chat/completions": "mistral",
    "/anthropic/v1/messages": "anthropic",
}


class Route(NamedTuple):
    """A provider's endpoint; `model` is empty where the body names it.

    One that `is_streamed` answers in events, whatever the body says.
    """

    dialect: Dialect
    model: str
    is_streamed: bool = False


@lru_cache(maxsize=1024)
def find_route(path: str) -> Route | None:
    """Return the endpoint that answers `POST path`, None where there is none."""
    if path in PATHS:
        return Route(DIALECTS[PATHS[path]], "")
    for root in GEMINI_ROOTS:
        for method, is_streamed in GEMINI_METHODS.items():
            if path.startswith(root) and path.endswith(method):
                model = unquote(path.removeprefix(root).removesuffix(method))
                return Route(DIALECTS["gemini"], model, is_streamed) if model else None
    return None
