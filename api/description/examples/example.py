"""What an example of an operation is."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Examples(NamedTuple):
    """Of one operation: its answers by status, its body if that is JSON, its answer in events."""

    answers: Mapping[str, Any]
    body: Any = None
    events: str | None = None
