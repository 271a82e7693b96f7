"""A disk that is soon full: a file system of its own in memory, where the machine lets us make one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BLOCK_BYTES = 4096


@contextmanager
def small_disk(size_mb: int, owner: int = 0) -> Iterator[Path | None]:
    """Yield the folder of an empty disk that belongs to a user; None where nothing may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="tidemill-disk-"))
    options = f"size={size_mb}m,uid={owner},mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    is_mounted = (
        shutil.which("mount") is not None
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0  # noqa: S603
    )
    try:
        yield folder if is_mounted else None
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607
        folder.rmdir()


def enlarge(folder: Path, size_mb: int) -> None:
    """Make a disk larger, as whoever operates it would."""
    options = f"remount,size={size_mb}m"
    subprocess.run(["mount", "-o", options, str(folder)], check=True)  # noqa: S603, S607


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Let nothing fit on a disk meanwhile."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(BLOCK_BYTES))
        except OSError:
            os.fsync(file.fileno())
    try:
        yield
    finally:
        ballast.unlink()
