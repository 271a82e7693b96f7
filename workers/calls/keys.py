"""The providers' keys: read from where the configuration says, handed out in turn."""

import itertools
import logging
import time
from collections.abc import Iterator, Sequence

from pydantic import SecretStr

from jobs.configuration import Configuration
from jobs.errors import AuthenticationFailed, ConfigurationError
from jobs.key_references import read_key
from workers.gate.gate import PoolId

log = logging.getLogger(__name__)

REST_S = 15.0
"""How long a key that was refused is left out, while its pool has others."""


class _Keys:
    """The keys of one pool, which takes them in turn; none is there twice."""

    def __init__(self, keys: Sequence[SecretStr | None]) -> None:
        self.first = keys[0]
        self._turns: Iterator[SecretStr | None] = itertools.cycle(keys)
        self._count = len(keys)
        self._rests_until: dict[SecretStr | None, float] = {}

    def next(self) -> SecretStr | None:
        """Return the next one that is not left out, if there is such a one, else just the next."""
        key = next(self._turns)
        for _ in range(self._count if self._rests_until else 0):
            if self._rests_until.get(key, 0.0) <= time.monotonic():
                break
            key = next(self._turns)
        return key

    def rests(self, key: SecretStr | None) -> bool:
        """Leave a key out for a while; return whether another is left."""
        self._rests_until[key] = time.monotonic() + REST_S
        resting = sum(until > time.monotonic() for until in self._rests_until.values())
        return resting < self._count


class Keyring:
    """The keys of all pools. A pool without a readable key can't be used, and says so."""

    def __init__(self, configuration: Configuration) -> None:
        self._keys: dict[PoolId, _Keys] = {}
        self._faults: dict[PoolId, str] = {}
        for provider_name, provider in configuration.providers.items():
            for pool in provider.pools:
                pool_id = PoolId(provider_name, pool.name)
                try:
                    # Two references to one key: it is refused under both.
                    keys = list(dict.fromkeys(read_key(reference) for reference in pool.keys))
                except ConfigurationError as error:
                    log.warning("pool %s/%s can't be used: %s", *pool_id, error)
                    self._faults[pool_id] = error.message
                else:
                    self._keys[pool_id] = _Keys([*keys] or [None])

    def is_usable(self, pool: PoolId) -> bool:
        """Whether the pool's keys could be read."""
        return pool in self._keys

    def key(self, pool: PoolId) -> SecretStr | None:
        """Return the next key of a pool; None where it needs none.

        Raises:
            AuthenticationFailed: the pool has keys, and one of them could not be read.
        """
        if pool in self._faults:
            raise AuthenticationFailed(self._faults[pool])
        return self._keys[pool].next()

    def first(self, pool: PoolId) -> SecretStr | None:
        """Return the first key of a pool, for what the others may not see; None where it needs none.

        Raises:
            AuthenticationFailed: the pool has keys, and one of them could not be read.
        """
        if pool in self._faults:
            raise AuthenticationFailed(self._faults[pool])
        return self._keys[pool].first

    def rests(self, pool: PoolId, key: SecretStr | None) -> bool:
        """Leave a key that was refused out for a while; return whether its pool has another one."""
        return pool in self._keys and self._keys[pool].rests(key)
