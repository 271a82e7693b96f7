"""The providers' keys: read from where the configuration says, handed out in turn."""

import itertools
import logging
from collections.abc import Iterator

from pydantic import SecretStr

from jobs.configuration import Configuration, read_key
from jobs.errors import AuthenticationFailed, ConfigurationError
from workers.gate.gate import PoolId

log = logging.getLogger(__name__)


class Keyring:
    """The keys of all pools. A pool without a readable key can't be used, and says so."""

    def __init__(self, configuration: Configuration) -> None:
        self._turns: dict[PoolId, Iterator[SecretStr | None]] = {}
        self._faults: dict[PoolId, str] = {}
        for provider_name, provider in configuration.providers.items():
            for pool in provider.pools:
                pool_id = PoolId(provider_name, pool.name)
                try:
                    keys = [read_key(reference) for reference in pool.keys]
                except ConfigurationError as error:
                    log.warning("pool %s/%s can't be used: %s", *pool_id, error)
                    self._faults[pool_id] = error.message
                else:
                    self._turns[pool_id] = itertools.cycle(keys or [None])

    def is_usable(self, pool: PoolId) -> bool:
        """Whether the pool's keys could be read."""
        return pool in self._turns

    def key(self, pool: PoolId) -> SecretStr | None:
        """Return the next key of a pool; None where it needs none.

        Raises:
            AuthenticationFailed: the pool has keys, and one of them could not be read.
        """
        if pool in self._faults:
            raise AuthenticationFailed(self._faults[pool])
        return next(self._turns[pool])
