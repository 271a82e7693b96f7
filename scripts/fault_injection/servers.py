"""A Redis and a PostgreSQL of the run's own, which it may kill, empty and set back."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.errors import ConfigurationError
from scripts.launcher import valkey
from scripts.launcher.part import Part

HOST = "127.0.0.1"
REDIS, POSTGRES = "redis", "postgres"
USERS = ("postgres", "nobody")
"""PostgreSQL refuses to run as root; whom it runs as instead."""

_APPENDED = "appendonlydir"
_INSTALLED = "/usr/lib/postgresql"


class RedisFiles:
    """What the server has on its disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._old = folder.parent / f"{folder.name}-old"

    def remember(self) -> None:
        """Put a copy aside; one that breaks off in the middle is one that the server can read."""
        shutil.rmtree(self._old, ignore_errors=True)
        shutil.copytree(self.folder / _APPENDED, self._old)

    def forget(self) -> None:
        """Delete all: the next start is an empty one. The server must not run."""
        shutil.rmtree(self.folder / _APPENDED)

    def set_back(self) -> None:
        """Put what was remembered in place. The server must not run."""
        self.forget()
        shutil.copytree(self._old, self.folder / _APPENDED)


def redis_part(files: RedisFiles, port: int) -> Part:
    """Return the server, which appends to a file as the embedded one does, on a port.

    It lives on when a file can't grow (SIGXFSZ), as all other parts do.

    Raises:
        ConfigurationError: no server binary for this system is installed.
    """
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(files.folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    words = (word for name, value in options.items() for word in (f"--{name}", value))
    alive = ("sh", "-c", "trap '' XFSZ; exec \"$@\"", REDIS)
    return Part(REDIS, (*alive, str(valkey.binary()), *words), stop_rank=2)


@contextmanager
def own_cluster() -> Iterator[Path]:
    """Yield the folder of a new PostgreSQL cluster, gone at the end; whoever runs it trusts everybody.

    Raises:
        ConfigurationError: PostgreSQL's programs are not installed, or refuse.
    """
    user = _other_user()
    folder = Path(tempfile.mkdtemp(prefix="tidemill-chaos-"))
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own program
            [
                *(str(_program("initdb")), "--pgdata", str(folder / "data")),
                *("--username", "postgres", "--auth", "trust"),
                *("--encoding", "UTF8", "--no-locale", "--no-sync"),
            ],
            cwd=folder,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ConfigurationError(f"initdb: {done.stderr.strip()}")
        yield folder / "data"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres_part(data: Path, port: int) -> Part:
    """Return the server of a cluster on a port."""
    user = _other_user()
    settings = {"listen_addresses": HOST, "port": port, "unix_socket_directories": ""}
    words = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    # Changing the user undoes that a child dies with its parent, so that is said once more.
    as_user = (
        ()
        if user is None
        else (
            *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"),
            *("--pdeathsig", "INT", "--"),
        )
    )
    argv = (*as_user, str(_program("postgres")), "-D", str(data), *words)
    return Part(POSTGRES, argv, stop_rank=2)


def _other_user() -> pwd.struct_passwd | None:
    """Return whom the server must run as, None if as ourselves."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in USERS if name in known)


def _program(name: str) -> Path:
    """Return one of PostgreSQL's programs: of the newest that Debian has installed, or on the PATH."""
    installed = sorted(
        (path for path in Path(_INSTALLED).glob(f"*/bin/{name}")),
        key=lambda path: float(path.parents[1].name),
    )
    on_path = shutil.which(name)
    if not installed and on_path is None:
        raise ConfigurationError(f"PostgreSQL's {name} is neither in {_INSTALLED} nor on the PATH")
    return installed[-1] if installed else Path(on_path or "")
