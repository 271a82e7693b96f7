"""Who steered what, and who was refused: a line each on the logger `tidemill.audit`.

A line names a key by its prefix, a project and a batch by their ids; it never holds a payload.
"""

import logging
import time
from contextvars import ContextVar

from jobs.store.projects import KEY_PREFIX, PREFIX_LENGTH

log = logging.getLogger("tidemill.audit")

REFUSALS_PER_MINUTE = 100
"""Lines about refusals, one for each address and reason: the rest is only counted."""

_key_prefix: ContextVar[str] = ContextVar("key_prefix", default="none")


def set_caller(key: str) -> None:
    """Note whose request this is, for what is noted later in it."""
    _key_prefix.set(prefix_of(key))


def prefix_of(key: str) -> str:
    """Return what may be shown of a key; of what is none of ours, nothing."""
    return ascii(key[:PREFIX_LENGTH])[1:-1] if key.startswith(KEY_PREFIX) else "foreign"


def note(event: str, project_id: int, **what: object) -> None:
    """Note what a caller has done, after the commit that did it."""
    told = "".join(f" {name}={value}" for name, value in what.items())
    log.info("%s project=%d key=%s%s", event, project_id, _key_prefix.get(), told)


class Refusals:
    """What was refused lately: a flood of it is a line a minute and address, not a full disk."""

    def __init__(self) -> None:
        self._minute = -1
        self._told: set[tuple[str, str]] = set()
        self._withheld = 0

    def note(self, code: str, source: str, key: str) -> None:
        """Note that a request was refused; `code` is that of its answer."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            if self._withheld:
                log.warning("%d more refusals were not told one by one", self._withheld)
            self._minute, self._withheld = minute, 0
            self._told.clear()
        if (code, source) in self._told or len(self._told) >= REFUSALS_PER_MINUTE:
            self._withheld += 1
            return
        self._told.add((code, source))
        log.warning("refused %s source=%s key=%s", code, source, prefix_of(key))
