"""Faults of the machine: a disk that is full, a clock that is set."""

import asyncio
import time
from typing import Any

import redis

from scripts.fault_injection import clocks
from scripts.fault_injection.kinds import Kind, Strike
from scripts.fault_injection.scene import LONGER_THAN_A_LEASE_S, Scene
from scripts.fault_injection.servers import REDIS

CLOCK = "clock"
"""What is held while the one clock of all parts is set."""


async def fill_disk(scene: Scene) -> Strike | None:
    """Let neither our parts nor Redis write a byte to a file for a while."""
    lasts_s = scene.random.uniform(3.0, 8.0)
    fleet, parts = scene.rig.fleet, (*scene.rig.our_parts, REDIS)
    with scene.hold(REDIS) as is_mine:
        if not is_mine:
            return None
        began_at = time.time()
        try:
            for name in parts:
                fleet.files_can_grow(name, can=False)
            await asyncio.sleep(lasts_s)
            met = _redis_cannot_write(scene)
        finally:
            for name in parts:  # who was started meanwhile has room already
                fleet.files_can_grow(name, can=True)
        return Strike(Kind.DISK_FULL, f"{lasts_s:.1f} s", began_at, time.time(), int(met), 0)


def _redis_cannot_write(scene: Scene) -> bool:
    try:
        told: dict[str, Any] = scene.rig.redis.info("persistence")
    except redis.RedisError:
        return False
    return bool(told["aof_last_write_status"] != "ok")


async def set_clock(scene: Scene) -> Strike | None:
    """Set a worker's clock, or with SQLite that of all parts, for longer than a lease."""
    files, is_shared = scene.rig.clocks, scene.rig.database.is_sqlite
    part = "beat" if is_shared else scene.any_free(scene.rig.workers)
    with scene.hold(CLOCK if is_shared else part or "") as is_mine:
        if part is None or not is_mine:
            return None
        offset_s = scene.random.choice((-1, 1)) * clocks.JUMP_S
        began_at = time.time()
        try:
            clocks.set_clock(files[part], offset_s)
            await asyncio.sleep(LONGER_THAN_A_LEASE_S)
            process_id = scene.rig.fleet.process_id(part)
            met = process_id is not None and clocks.is_settable(process_id)
        finally:
            clocks.set_clock(files[part], 0)
        what = f"{offset_s:+d} s for {'all parts' if is_shared else part}"
        return Strike(Kind.CLOCK, what, began_at, time.time(), int(met), 0)
