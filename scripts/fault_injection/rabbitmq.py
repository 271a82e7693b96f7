"""RabbitMQ as the broker: a virtual host of one's own on this machine's server, which others use too."""

import shutil
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection

from jobs.errors import ConfigurationError

HOST, PORT = "127.0.0.1", 5672
COMMAND_WITHIN_S = 30.0


@contextmanager
def own_virtual_host() -> Iterator[str]:
    """Yield the name of an empty virtual host, gone at the end, that the user guest may use.

    Raises:
        ConfigurationError: the server's command is not on the PATH, or refuses.
    """
    name = f"tidemill-test-{uuid.uuid4().hex}"
    _rabbitmqctl("add_vhost", name)
    try:
        _rabbitmqctl("set_permissions", "--vhost", name, "guest", ".*", ".*", ".*")
        yield name
    finally:
        _rabbitmqctl("delete_vhost", name)


def address(virtual_host: str, port: int = PORT) -> str:
    """Return the address of a virtual host, by way of a port of this machine."""
    return f"amqp://guest:guest@{HOST}:{port}/{virtual_host}"


def purge(virtual_host: str, queues: Iterable[str]) -> int:
    """Forget the messages of queues that exist, except those that a worker holds; return how many."""
    with Connection(address(virtual_host), connect_timeout=COMMAND_WITHIN_S) as connection:
        channel: Any = connection.default_channel  # its stub has less than AMQP
        return sum(int(channel.queue_purge(queue)) for queue in queues)


def _rabbitmqctl(*arguments: str) -> None:
    program = shutil.which("rabbitmqctl")
    if program is None:
        raise ConfigurationError("RabbitMQ's rabbitmqctl is not on the PATH")
    done = subprocess.run(  # noqa: S603 - the server's own program, names of our own
        [program, "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_WITHIN_S,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip()
        raise ConfigurationError(f"rabbitmqctl {' '.join(arguments)}: {reason}")
