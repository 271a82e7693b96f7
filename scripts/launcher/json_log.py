"""A log of objects, a line each: the same records as the readable one, with their ids as fields."""

import logging
import re
import traceback
from datetime import datetime

import orjson

from jobs.clock import UTC
from jobs.errors import TidemillError

_BATCH = re.compile(r"\bbat_[0-9a-f]{20}\b")
_SLICE = re.compile(r"\bslice (\d+)\b")
_AUDIT = re.compile(r" (\w+)=(\S+)")

AUDIT = "tidemill.audit"


class JsonLog(logging.Formatter):
    """Makes a line of a record.

    `batch` and `slice` are found where a message names them, as messages always do in the same words;
    the audit's lines have each of their words as a field. Of an exception there are its type, where it
    was raised, and its text if it is one of ours: that of others may hold what was sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        message = record.getMessage()
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        if (batch := _BATCH.search(message)) is not None:
            line["batch"] = batch[0]
        if (piece := _SLICE.search(message)) is not None:
            line["slice"] = int(piece[1])
        if record.name == AUDIT:
            line |= {name: value for name, value in _AUDIT.findall(message) if name not in line}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            if isinstance(record.exc_info[1], TidemillError):
                line["reason"] = record.exc_info[1].message
            line["raised_at"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return orjson.dumps(line).decode()
