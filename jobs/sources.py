"""Where submissions may be read from: places that the operator names by the beginnings of their URLs.

A URL of a request is never cleaned up, only refused: every reader has other rules for that. There is no HTTP
among the protocols, as a redirect of somebody else's server may lead anywhere, also to this network.
"""

import os
import re
from collections.abc import Sequence

from jobs.errors import SourceNotAllowed

PROTOCOLS = frozenset({"s3", "gs", "gcs", "az", "abfs", "file", "memory"})
"""Object storage, and folders of the server's machine. `memory` is empty but in tests."""

# Of two colons fsspec makes a chain of file systems; of a star and brackets patterns; `%` may or may not be
# an escape; what is before an `@` may be a password.
_PLAIN = re.compile(r"(?P<protocol>[a-z0-9]+)://(?P<path>[^\x00-\x20\x7f?#%\\@:*\[\]{}]+)")
_SHOWN_CHARACTERS = 80


def check_prefix(url: str) -> str:
    """Return the beginning of allowed URLs.

    Raises:
        ValueError: it can't be one.
    """
    if not _is_plain(url) or not url.endswith("/"):
        raise ValueError(
            "must be the beginning of URLs, as s3://bucket/folder/ with a `/` at its end, of one of "
            f"{', '.join(sorted(PROTOCOLS))}"
        )
    return url


def check_source(url: str, allowed: Sequence[str]) -> None:
    """Find out whether a submission may be read from `url`.

    Raises:
        SourceNotAllowed: it is no plain URL, or begins with none of the `allowed` prefixes.
    """
    if not _is_plain(url) or not any(
        url.startswith(prefix) and url != prefix and _stays(url, prefix) for prefix in allowed
    ):
        raise SourceNotAllowed(
            f"{url[:_SHOWN_CHARACTERS]!r} may not be read: the operator's configuration "
            f"(`[sources] allowed`) names {'other places' if allowed else 'no place'}"
        )


def _is_plain(url: str) -> bool:
    parts = _PLAIN.fullmatch(url)
    if parts is None or parts["protocol"] not in PROTOCOLS:
        return False
    path = parts["path"].removeprefix("/").removesuffix("/")
    return all(segment not in {"", ".", ".."} for segment in path.split("/"))


def _stays(url: str, prefix: str) -> bool:
    """Whether a file is where its URL says: a link may lead out of an allowed folder."""
    if not url.startswith("file://"):
        return True
    folder = os.path.realpath(prefix.removeprefix("file://"))
    return os.path.realpath(url.removeprefix("file://")).startswith(folder + os.sep)
