"""RabbitMQ for tests: whether it is there."""

import shutil

from scripts.fault_injection.rabbitmq import PORT
from tests.support.ports import is_open


def can_be_administered() -> bool:
    """Whether a server runs on this machine and its command is on the PATH."""
    return is_open(PORT) and shutil.which("rabbitmqctl") is not None
