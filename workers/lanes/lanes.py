"""The batch lanes that a process can use: what speaks each provider's batch API, and how it goes there."""

from dataclasses import dataclass

from pydantic import SecretStr

from jobs.configuration import Configuration
from jobs.lanes import LaneTimes
from workers.calls.keys import Keyring
from workers.gate.gate import PoolId
from workers.lanes.wire import LaneHttp, NativeBatches, lane_of


@dataclass(frozen=True, slots=True)
class BatchApi:
    """A provider's batch API, with the limits that its configuration sets."""

    wire: NativeBatches
    times: LaneTimes
    enqueued_tokens: int | None
    max_open: int


class Lanes:
    """The batch APIs of all providers that have one; made and closed on the process's event loop."""

    def __init__(self, configuration: Configuration, keys: Keyring) -> None:
        self._configuration = configuration
        self._keys = keys
        self._http = LaneHttp()
        self._turn = 0
        self._apis: dict[str, BatchApi] = {}
        for name, provider in configuration.providers.items():
            wire, lane = lane_of(provider, self._http), provider.lane
            if wire is not None and lane is not None:
                times = LaneTimes(lane.turnaround_s, wire.shape.cancel_s, lane.look_every_s)
                self._apis[name] = BatchApi(wire, times, lane.enqueued_tokens, lane.max_open)

    def of(self, provider: str) -> BatchApi | None:
        """Return a provider's batch API; None where it has none."""
        return self._apis.get(provider)

    def key(self, provider: str, pool: str) -> SecretStr | None:
        """Return the key for all that is asked of a pool's batches: another might not see them.

        Raises:
            AuthenticationFailed: it could not be read.
        """
        return self._keys.first(PoolId(provider, pool))

    def next_pool(self, provider: str) -> str | None:
        """Return the pool for the next native batch, in turn; None if none has a key to use."""
        names = [
            pool.name
            for pool in self._configuration.providers[provider].pools
            if self._keys.is_usable(PoolId(provider, pool.name))
        ]
        self._turn += 1
        return names[self._turn % len(names)] if names else None

    async def close(self) -> None:
        """Close what connections there are."""
        await self._http.aclose()
