"""Schemas that a server refused to hold its model to: from then on they are told in words.

llama.cpp makes no grammar of some, and whole servers of OpenAI's format have no structured output. Their
400 costs nothing, but without this every job of a batch would be refused first. A process learns it
anew; what an answer is worth is checked against the schema in any case.
"""

from collections import OrderedDict

import msgspec

from jobs.exchange import ModelRequest

MOST_KEPT = 256
"""A batch has one or a few; of those that were forgotten a call more is refused."""


class RefusedSchemas:
    """Those of a process, by the server's address and the model."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, bytes], None] = OrderedDict()

    def has(self, base_url: str, model: str, request: ModelRequest) -> bool:
        """Whether the request's schema, if it has one, is known to be refused there."""
        if not self._kept or request.schema is None:
            return False
        return _key(base_url, model, request) in self._kept

    def note(self, base_url: str, model: str, request: ModelRequest) -> None:
        """Remember that the request's schema was refused."""
        self._kept[_key(base_url, model, request)] = None
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def forget(self, base_url: str, model: str, request: ModelRequest) -> None:
        """Take it back: it was not for its schema that the request was refused."""
        self._kept.pop(_key(base_url, model, request), None)


def _key(base_url: str, model: str, request: ModelRequest) -> tuple[str, str, bytes]:
    return base_url, model, msgspec.json.encode(request.schema)
