"""The home folder: private, used by one launcher at a time, and where small secrets are kept."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.errors import ConfigurationError


def make_private_folder(path: Path) -> Path:
    """Make `path` and its parents, readable by its owner only, and return it.

    Raises:
        ConfigurationError: it can't be made, or it belongs to someone else.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # An existing folder, or a wide umask's: the databases and keys within are nobody else's.
        path.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be a private folder: {error.strerror}") from error
    return path


@contextmanager
def hold(home: Path) -> Iterator[None]:
    """Hold the home for this process alone; the kernel lets go of it however the process ends.

    Raises:
        ConfigurationError: another launcher holds it; the message names its process.
    """
    with (home / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise ConfigurationError(
                f"another `tidemill up` (process {holder}) already uses {home}; stop it, or choose "
                "another folder with TIDEMILL_HOME"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def stored_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the secret in `path`, which is made on first use, readable by its owner only."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    secret = make()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{secret}\n")
    return secret
