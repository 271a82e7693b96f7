"""Where files of pipelines are: paths and addresses of object storage, with the run's day in them."""

import re
from typing import Any

from jobs.errors import UnreadableSource
from jobs.pipelines.rows import RunFacts

_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_PLACE = re.compile(r"\{(date|run|pipeline)\}")


def filled_in(text: str, run: RunFacts) -> str:
    """Return a path or an address for a run: of `{date}`, `{run}` and `{pipeline}` what they are."""
    values = {"date": run.day.isoformat(), "run": run.ref, "pipeline": run.pipeline}
    return _PLACE.sub(lambda place: values[place[1]], text)


def is_url(path: str) -> bool:
    """Whether it leads to storage, and is no path of this machine."""
    return _URL.match(path) is not None


def storage_of(path: str) -> tuple[Any, str]:
    """Return the file system of a path or an address, and what the file is called there.

    Raises:
        UnreadableSource: what speaks to such storage is not installed.
    """
    import fsspec  # noqa: PLC0415 - a quarter of a second, for whoever uses it

    try:
        system, inner = fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise UnreadableSource(f"{path}: {error}") from error
    return system, inner
