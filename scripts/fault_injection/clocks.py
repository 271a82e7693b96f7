"""Clocks that can be set, one for each part: by libfaketime, where this machine has it.

The monotonic clock is left alone, as it is when a machine's time is set.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from scripts.launcher.part import Part

JUMP_S = 3600

INSTALLED = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib*/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)
"""Where distributions put it; `MT` is for programs of several threads."""

_VENDORED = "vendor/libfaketime/src/libfaketime.so.1"  # in the Python package of this name

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX has it; the names are the library's
_LEFT = ("faketime_shm_{}", "sem.faketime_sem_{}")
"""What it shares with children; it removes both itself at a process's orderly end."""


@cache
def library() -> Path | None:
    """Return a libfaketime that works here, None if there is none."""
    found = [path for pattern in INSTALLED for path in Path("/").glob(pattern[1:])]
    package = find_spec("libfaketime")
    if package is not None and package.origin is not None:
        found.append(Path(package.origin).parent / _VENDORED)
    return next((path for path in found if path.exists() and _works(path)), None)


def settable(part: Part, file: Path) -> Part:
    """Return a part whose clock is right until `set_clock` is called with this file."""
    path = library()
    assert path is not None  # without one nobody asks for this
    set_clock(file, 0)
    return replace(part, environment={**part.environment, **_variables(path, file)})


def set_clock(file: Path, offset_s: int) -> None:
    """Let the clock that goes by this file be so many seconds ahead of the true time."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(f"{offset_s:+d}\n", encoding="ascii")
    new.replace(file)


def is_settable(process_id: int) -> bool:
    """Whether a running process goes by such a file."""
    maps = Path(f"/proc/{process_id}/maps")
    try:
        return "libfaketime" in maps.read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended
        return False


def forget(process_ids: Iterable[int]) -> None:
    """Remove what the library has left behind of processes that were killed."""
    for process_id in process_ids:
        for name in _LEFT:
            (_SHARED_MEMORY / name.format(process_id)).unlink(missing_ok=True)


def _variables(path: Path, file: Path) -> Mapping[str, str]:
    return {
        "LD_PRELOAD": str(path),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        # Else each process looks once a second, and meanwhile those of one machine would differ.
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _works(path: Path) -> bool:
    """Whether a program goes by it: it may be built for another kind of machine."""
    variables = {"LD_PRELOAD": str(path), "FAKETIME": f"+{JUMP_S}"}
    told = subprocess.run(
        [sys.executable, "-S", "-c", "import time; print(time.time())"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return told.returncode == 0 and float(told.stdout) > time.time() + JUMP_S / 2
