"""What a body may not ask for, as a call for it could cost more than can be reserved beforehand."""

from collections.abc import Iterator

from jobs.kinds.bodies import unsupported
from jobs.kinds.kind import FieldFault
from jobs.kinds.messages.body import PARAMS, Block, Body, CacheControl, Source

LASTING = "1h"
"""For how long a prompt cache may be kept, at a price of its own."""

_ONLY = {
    "service_tier": (None, "auto", "standard_only"),
    "speed": (None, "standard"),
    "inference_geo": (None, "global", "not_available"),
}
"""What costs no more than the prices that budgets reckon with."""

_UNBOUNDED = {
    "container": "code that runs is billed beside the tokens",
    "context_management": "what makes a context smaller is billed beside the one answer",
    "fallbacks": "a route of the configuration says which model is asked next",
    "mcp_servers": "what servers send is billed, and can't be told beforehand",
}
"""Fields with which a call may cost more than can be reserved for it."""


def faults_of(body: Body, *, may_stream: bool = False) -> Iterator[FieldFault]:
    """Yield what of a body could cost more than is known, or isn't done here."""
    if body.stream and not may_stream:
        yield _fault("stream", "results are collected and read from the batch")
    yield from _of_fields(body)
    yield from _of_tools(body)
    yield from _of_blocks(body)


def _of_fields(body: Body) -> Iterator[FieldFault]:
    for name, words in _ONLY.items():
        if getattr(body, name) not in words:
            yield _fault(name, "this has a price of its own")
    for name, why in _UNBOUNDED.items():
        if getattr(body, name):
            yield _fault(name, why)


def _of_tools(body: Body) -> Iterator[FieldFault]:
    for place, tool in enumerate(body.tools or ()):
        if tool.type not in {None, "custom"}:
            why = "what a tool of the provider's costs can't be told beforehand"
            yield _fault(f"tools[{place}].type", why)


def _of_blocks(body: Body) -> Iterator[FieldFault]:
    for where, control in _marks(body):
        if control is not None and control.ttl == LASTING:
            why = "it has a price of its own; leave it out, or say `5m`"
            yield _fault(f"{where}cache_control.ttl", why)
    for where, block in body.blocks():
        if (reason := _unbounded_source(block)) is not None:
            yield _fault(f"{where}.source.type", reason)


def _unbounded_source(block: Block) -> str | None:
    """Return why nobody can tell what a picture or a document costs; None where it can be told."""
    kind = block.source.type if isinstance(block.source, Source) else None
    if block.type == "document" and kind not in {"text", "content"}:
        return "what pages cost can't be told beforehand; send their text, as `text`"
    if block.type == "image" and kind not in {"base64", "url"}:
        return "there are no files here; expected `base64` or `url`"
    return None


def _marks(body: Body) -> Iterator[tuple[str, CacheControl | None]]:
    yield "", body.cache_control
    for place, tool in enumerate(body.tools or ()):
        yield f"tools[{place}].", tool.cache_control
    for where, block in body.blocks():
        yield f"{where}.", block.cache_control


def _fault(name: str, why: str) -> FieldFault:
    return unsupported(name, why, place=PARAMS)
