"""RabbitMQ for tests: a virtual host each, made and deleted through the server's own command."""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.ports import is_open

PORT = 5672
COMMAND_WITHIN_S = 30


def can_be_administered() -> bool:
    """Whether a server runs on this machine and its command is on the PATH."""
    return is_open(PORT) and shutil.which("rabbitmqctl") is not None


@contextmanager
def own_virtual_host() -> Iterator[str]:
    """Yield the address of an empty virtual host for the user guest."""
    name = f"tidemill-test-{uuid.uuid4().hex}"
    _rabbitmqctl("add_vhost", name)
    try:
        _rabbitmqctl("set_permissions", "--vhost", name, "guest", ".*", ".*", ".*")
        yield f"amqp://guest:guest@127.0.0.1:{PORT}/{name}"
    finally:
        _rabbitmqctl("delete_vhost", name)


def _rabbitmqctl(*arguments: str) -> None:
    program = shutil.which("rabbitmqctl") or "rabbitmqctl"
    done = subprocess.run(  # noqa: S603 - a fixed program, names of our own
        [program, "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, f"rabbitmqctl {' '.join(arguments)}: {done.stderr or done.stdout}"
