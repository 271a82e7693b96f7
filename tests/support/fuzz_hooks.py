"""What schemathesis must be told of our API; it imports this by `SCHEMATHESIS_HOOKS`."""

from typing import Any

import schemathesis


@schemathesis.serializer(
    "application/x-ndjson",
    "text/csv",
    "text/tab-separated-values",
    "application/vnd.apache.parquet",
)
def lines(_ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """What is described as a text is sent as one."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
