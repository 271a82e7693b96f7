"""Is it there yet? Asking HTTP servers, and whether a port is free for ours."""

import errno
import http.client
import socket
import time

from jobs.errors import ConfigurationError

PORT_FREES_WITHIN_S = 2.0
"""The API of a killed launcher closes its socket at once, which is not in no time."""


def answers(host: str, port: int, path: str) -> bool:
    """Whether GET `path` is answered with 200."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reachable(host: str) -> str:
    """Return where a server that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def require_free_port(host: str, port: int, option: str) -> None:
    """Return when a server of ours could listen there.

    Raises:
        ConfigurationError: it can't; the message names the `option` that chooses another port.
    """
    deadline = time.monotonic() + PORT_FREES_WITHIN_S
    while (fault := _fault(host, port)) is not None:
        if fault.errno != errno.EADDRINUSE:
            raise ConfigurationError(f"can't listen on {host}:{port}: {fault.strerror or fault}")
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"port {port} on {host} is already in use; choose another with {option}"
            )
        time.sleep(0.1)


def free_port() -> int:
    """Return a port on loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _fault(host: str, port: int) -> OSError | None:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family):
            return None
    except OSError as error:
        return error
