"""What schemathesis must be told of our API; it imports this by `SCHEMATHESIS_HOOKS`."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """Lines are described as a text, so that is what they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
