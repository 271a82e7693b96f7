"""Which pools can't be used, or are used without a key: worth a warning, never a reason to stop."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from jobs.configuration import Configuration, Pool, Provider
from jobs.errors import ConfigurationError
from jobs.key_references import read_key


def key_faults(configuration: Configuration) -> list[tuple[str, str]]:
    """Return (provider, what is wrong) for keys that can't be read and strangers that get none."""
    return [
        (name, fault)
        for name, provider in configuration.providers.items()
        for pool in provider.pools
        for fault in _pool_faults(provider, pool)
    ]


def _pool_faults(provider: Provider, pool: Pool) -> Iterator[str]:
    for reference in pool.keys:
        try:
            read_key(reference)
        except ConfigurationError as error:
            yield f"pool {pool.name!r} can't be used: {error.message}"
    if not pool.keys and not _is_local(provider.base_url):
        yield f"pool {pool.name!r} has no key; its calls carry none"


def _is_local(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        # A bare name is a machine or a service of one's own network.
        return "." not in host
