"""Which fault each kind is, whom it needs for itself, and what happened of them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from scripts.fault_injection import machine_faults, process_faults, server_faults, way_faults
from scripts.fault_injection.kinds import Kind, Strike
from scripts.fault_injection.machine_faults import CLOCK
from scripts.fault_injection.proxy import Mode
from scripts.fault_injection.rig import Peer, Rig
from scripts.fault_injection.scene import Scene
from scripts.fault_injection.servers import POSTGRES, REDIS

Deed = Callable[[], Awaitable[Strike | None]]
"""Lets a fault happen, to its end; None if it could not."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """A deed, all that it `needs` for itself, and of whom it takes one."""

    deed: Deed
    needs: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


class Striker:
    """Lets faults happen to a rig; `strikes` are those that met something, in the order of their ends."""

    def __init__(self, rig: Rig, random: Random) -> None:
        self.strikes: list[Strike] = []
        self._scene = Scene(rig, random)
        self._faults = _faults(self._scene)

    def can(self, kind: Kind) -> bool:
        """Whether nobody has hold of what a fault of this kind needs."""
        fault = self._faults[kind]
        needed = self._scene.free(fault.needs)
        return len(needed) == len(fault.needs) and (
            not fault.one_of or bool(self._scene.free(fault.one_of))
        )

    async def strike(self, kind: Kind) -> bool:
        """Let a fault of this kind happen, to its end; return whether it met anything."""
        done = await self._faults[kind].deed()
        if done is None or not done.hits:
            return False
        self.strikes.append(done)
        return True


def _faults(scene: Scene) -> Mapping[Kind, _Fault]:
    parts, workers, broker = scene.rig.our_parts, scene.rig.workers, scene.rig.broker
    one_clock = scene.rig.database.is_sqlite
    kill = partial(process_faults.kill, scene)
    restart_redis = partial(server_faults.restart_redis, scene)
    lose_broker = partial(server_faults.lose_broker, scene)
    return {
        Kind.KILL_WORKER: _Fault(partial(process_faults.kill_worker, scene), one_of=workers),
        Kind.KILL_API: _Fault(partial(kill, Kind.KILL_API, "api"), ("api",)),
        Kind.KILL_BEAT: _Fault(partial(kill, Kind.KILL_BEAT, "beat"), ("beat",)),
        Kind.KILL_ALL: _Fault(partial(kill, Kind.KILL_ALL, *parts), parts),
        Kind.STOP_WORKER: _Fault(partial(process_faults.stop_worker, scene), one_of=workers),
        Kind.PARTITION: _Fault(partial(process_faults.partition, scene), one_of=workers),
        Kind.FLUSH: _Fault(partial(server_faults.flush, scene), (REDIS, broker)),
        Kind.REDIS_KEPT: _Fault(partial(restart_redis, Kind.REDIS_KEPT), (REDIS,)),
        Kind.REDIS_LOST: _Fault(partial(restart_redis, Kind.REDIS_LOST), (REDIS,)),
        Kind.REDIS_OLD: _Fault(partial(restart_redis, Kind.REDIS_OLD), (REDIS,)),
        Kind.BROKER_STALL: _Fault(partial(lose_broker, Kind.BROKER_STALL, Mode.STALL), (broker,)),
        Kind.BROKER_CUT: _Fault(partial(lose_broker, Kind.BROKER_CUT, Mode.REFUSE), (broker,)),
        Kind.DATABASE_KILL: _Fault(partial(server_faults.kill_database, scene), (POSTGRES,)),
        Kind.DATABASE_STALL: _Fault(partial(server_faults.stall_database, scene), (POSTGRES,)),
        Kind.DISK_FULL: _Fault(partial(machine_faults.fill_disk, scene), (REDIS,)),
        Kind.CLOCK: _Fault(
            partial(machine_faults.set_clock, scene),
            needs=(CLOCK,) if one_clock else (),
            one_of=() if one_clock else workers,
        ),
        Kind.PROVIDER: _Fault(partial(way_faults.trouble_provider, scene), (Peer.PROVIDER,)),
        Kind.WIRE: _Fault(partial(way_faults.disturb_link, scene)),
    }
