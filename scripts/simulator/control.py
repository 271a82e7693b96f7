"""What is not a provider's: the ledger, the changes while running, the list of models."""

from collections.abc import Iterator

import msgspec

from scripts.simulator.provider import Change, Provider
from scripts.simulator.replies import Reply, json_reply

ROWS_TYPE = "application/x-ndjson"

_decoder = msgspec.json.Decoder(Change)


def control(provider: Provider, method: str, path: str, body: bytes) -> Reply:
    """Answer a request that is not for a model."""
    match method, path:
        case "GET", "/_sim/ledger":
            return json_reply(200, provider.ledger.summary())
        case "GET", "/_sim/ledger/rate":
            return json_reply(200, provider.rate())
        case "POST", "/_sim/faults":
            return _change(provider, body)
        case "POST", "/_sim/reset":
            provider.reset()
            return json_reply(200, provider.change(Change()))
        case "GET", "/v1/models" | "/mistral/v1/models":
            models = [
                {"id": name, "object": "model", "created": 0, "owned_by": "simulator"}
                for name in provider.models()
            ]
            return json_reply(200, {"object": "list", "data": models})
        case _:
            message = f"no such endpoint: {method} {path}"
            return json_reply(404, {"error": {"message": message, "code": None}})


def stream(provider: Provider, method: str, path: str) -> Iterator[bytes] | None:
    """Return the pieces of an answer that is too long to be held whole, None for any other."""
    if (method, path) == ("GET", "/_sim/ledger/rows"):
        return provider.ledger.pieces()
    return None


def _change(provider: Provider, body: bytes) -> Reply:
    try:
        change = _decoder.decode(body or b"{}")
        return json_reply(200, provider.change(change))
    except (msgspec.DecodeError, ValueError) as error:
        return json_reply(400, {"error": {"message": str(error), "code": "invalid_change"}})
