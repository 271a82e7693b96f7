"""Files that are there wholly or not at all: written elsewhere first, then put into their place."""

import glob
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from workers.pipelines.places import is_url, storage_of

WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "memory"})
"""Storage in which an object is seen when it is complete, and not before."""

READ, ENTER = 0o044, 0o011
"""Rights of a group and of others."""

COPIED_BYTES = 1 << 20

LEFT_BEHIND_S = 3600
"""After which a part that nobody has written to is of somebody who died."""


def place(path: str, pieces: Iterable[bytes]) -> None:
    """Write a file of this machine or of object storage; one that is there is replaced.

    Whoever reads meanwhile reads the file before, or this one.

    Raises:
        OSError: it can't be written.
    """
    if is_url(path):
        _upload(path, pieces)
    else:
        _replace(Path(path), pieces)


def _replace(path: Path, pieces: Iterable[bytes]) -> None:
    _make(path.parent)
    _clear_away(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with beside.open("xb") as file:
            _open_as(beside, path.parent, READ)
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _clear_away(path: Path) -> None:
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):  # another one clears away as well
            if time.time() - part.stat().st_mtime > LEFT_BEHIND_S:
                part.unlink()


def _make(folder: Path) -> None:
    """Make a folder and those above it, each for the eyes that its own is for."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _open_as(folder, folder.parent, READ | ENTER)


def _open_as(made: Path, folder: Path, rights: int) -> None:
    """Let those read what was made who may read its folder: it is for others, as our own files aren't."""
    mode = stat.S_IMODE(made.stat().st_mode)
    with suppress(PermissionError):  # a mount may have rights of its own
        made.chmod(mode | stat.S_IMODE(folder.stat().st_mode) & rights)


def _upload(path: str, pieces: Iterable[bytes]) -> None:
    """Write a whole file here, then send it: what breaks off while it is sent may be kept as it is."""
    system, inner = storage_of(path)
    with tempfile.NamedTemporaryFile() as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        protocols = {system.protocol} if isinstance(system.protocol, str) else {*system.protocol}
        target = inner if protocols & WHOLE else f"{inner}.part"
        folder = inner.rpartition("/")[0]
        if folder:
            system.makedirs(folder, exist_ok=True)
        with Path(file.name).open("rb") as written, system.open(target, "wb") as sent:
            shutil.copyfileobj(written, sent, COPIED_BYTES)
        if target != inner:
            system.mv(target, inner)
