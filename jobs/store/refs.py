"""Names that the outside world uses for rows."""

import secrets
import time


def new_ref(prefix: str) -> str:
    """Return a name: after the prefix twelve digits that sort by time, and eight by chance."""
    return f"{prefix}{int(time.time() * 1000):012x}{secrets.token_hex(4)}"
