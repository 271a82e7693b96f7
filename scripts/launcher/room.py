"""Whether a home can be made where it is wanted, and how much room there is."""

import os
import shutil
from pathlib import Path


def home_fault(home: Path) -> str | None:
    """Return why nothing can be written to `home`, or why it can't be made; None if it can."""
    nearest = _nearest(home)
    if not nearest.is_dir():
        return f"{nearest} is no folder"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{nearest} can't be written"
    return None


def free_bytes(home: Path) -> int:
    """Return the room that is left where `home` is, or would be."""
    return shutil.disk_usage(_nearest(home)).free


def _nearest(home: Path) -> Path:
    """Return the home, or what there is of the way to it."""
    resolved = Path(os.path.realpath(home))
    # What can't be looked at is not there for this process either.
    return next(path for path in (resolved, *resolved.parents) if os.access(path, os.F_OK))
