"""Faults of our own processes: killed, frozen, or cut off from everything, with calls in flight."""

import asyncio
import signal
import time
from collections.abc import Sequence

from jobs.errors import ServiceUnavailable
from jobs.store.leases.in_flight import jobs_in_flight
from scripts.fault_injection.fleet import REST_S
from scripts.fault_injection.kinds import Kind, Strike
from scripts.fault_injection.proxy import Behaviour, Mode, behaving
from scripts.fault_injection.scene import LONGER_THAN_A_LEASE_S, Scene

SETTLES_S = 0.1
"""What a frozen process had sent to a server is committed by then."""


async def kill_worker(scene: Scene) -> Strike | None:
    """Kill any one worker, which is started again."""
    worker = scene.any_free(scene.rig.workers)
    return None if worker is None else await kill(scene, Kind.KILL_WORKER, worker)


async def kill(scene: Scene, kind: Kind, *names: str) -> Strike | None:
    """Kill these parts at the same moment, if all are up; they are started again."""
    up = [name for name in names if scene.rig.fleet.process_id(name) is not None]
    with scene.hold(*up) as is_mine:
        if not is_mine or len(up) < len(names):
            return None
        # Frozen first: what is in flight can't change between the look and the kill.
        for name in up:
            scene.rig.fleet.signal(name, signal.SIGSTOP)
        await asyncio.sleep(SETTLES_S)
        cut_off, at_most = _in_flight(scene, up)
        began_at = time.time()
        for name in up:
            scene.rig.fleet.kill(name)
        await asyncio.sleep(REST_S)
        return Strike(kind, ", ".join(up), began_at, time.time(), len(up), at_most, cut_off)


async def stop_worker(scene: Scene) -> Strike | None:
    """Freeze a worker for longer than a lease, then let it go on."""
    worker = scene.any_free(scene.rig.workers)
    with scene.hold(worker or "") as is_mine:
        if worker is None or not is_mine or scene.rig.fleet.process_id(worker) is None:
            return None
        began_at = time.time()
        scene.rig.fleet.signal(worker, signal.SIGSTOP)
        try:
            await asyncio.sleep(SETTLES_S)
            cut_off, at_most = _in_flight(scene, [worker])
            await asyncio.sleep(LONGER_THAN_A_LEASE_S)
        finally:
            scene.rig.fleet.signal(worker, signal.SIGCONT)
        return Strike(Kind.STOP_WORKER, worker, began_at, time.time(), 1, at_most, cut_off)


async def partition(scene: Scene) -> Strike | None:
    """Cut a worker off from everybody for longer than a lease; no connection of its is closed."""
    worker = scene.any_free(scene.rig.workers)
    with scene.hold(worker or "") as is_mine:
        if worker is None or not is_mine or scene.rig.fleet.process_id(worker) is None:
            return None
        began_at = time.time()
        links = scene.rig.links_of(worker)
        async with behaving(links, Behaviour(Mode.STALL)):
            await asyncio.sleep(SETTLES_S)
            cut_off, at_most = _in_flight(scene, [worker])
            await asyncio.sleep(LONGER_THAN_A_LEASE_S)
            met = sum(link.met for link in links)
        return Strike(Kind.PARTITION, worker, began_at, time.time(), met, at_most, cut_off)


def _in_flight(scene: Scene, workers: Sequence[str]) -> tuple[list[str], int]:
    """Return the jobs that some workers have calls in flight for, and how many these are at most.

    Without a database nobody can tell, and then none is bound to be known.
    """
    ids = [scene.rig.fleet.process_id(name) for name in workers]
    try:
        with scene.rig.database.read() as session:
            jobs = [job for pid in ids if pid for job in jobs_in_flight(session, pid)]
    except ServiceUnavailable:
        return [], round(len(workers) * scene.rig.calls_s * 2)
    return jobs, len(jobs)
