"""What pipelines' files only name: addresses of databases, keys, secrets, as `env:NAME` or `file:PATH`."""

from jobs.key_references import read_key
from jobs.settings import with_driver


def secret(reference: str) -> str:
    """Return what a reference leads to.

    Raises:
        ConfigurationError: the variable is not set, or the file can't be read.
    """
    return read_key(reference).get_secret_value()


def database_address(reference: str) -> str:
    """Return the SQLAlchemy address that a reference leads to, with a driver that is installed.

    Raises:
        ConfigurationError: as `secret` does.
    """
    return with_driver(secret(reference))
