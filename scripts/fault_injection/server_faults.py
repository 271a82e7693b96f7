"""Faults of the servers that the system stands on: the broker, Redis, the database."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

import redis

from jobs.errors import ServiceUnavailable
from jobs.queues import CONTROL_QUEUE
from scripts.benchmarks.workload import PROVIDER
from scripts.fault_injection import rabbitmq
from scripts.fault_injection.kinds import Kind, Strike
from scripts.fault_injection.proxy import Behaviour, Mode, behaving
from scripts.fault_injection.rig import Peer
from scripts.fault_injection.scene import Scene
from scripts.fault_injection.servers import POSTGRES, REDIS

BACK_WITHIN_S = 30.0
"""A server that was started again and doesn't answer by then never will."""


async def flush(scene: Scene) -> Strike | None:
    """Empty Redis, and the queues of a RabbitMQ that is the broker."""
    with scene.hold(REDIS, scene.rig.broker) as is_mine:
        if not is_mine:
            return None
        try:
            keys = int(scene.rig.redis.dbsize())
            scene.rig.redis.flushall()
        except redis.RedisError:
            return None  # it is being started
        what = f"{keys} keys"
        if scene.rig.virtual_host is not None:
            messages = rabbitmq.purge(scene.rig.virtual_host, (PROVIDER, CONTROL_QUEUE))
            what += f", {messages} messages"
        return Strike(Kind.FLUSH, what, time.time(), time.time(), keys, 0)


async def lose_broker(scene: Scene, kind: Kind, mode: Mode) -> Strike | None:
    """Let all links to the broker behave so for a while."""
    lasts_s = scene.random.uniform(2.0, 6.0)
    links = scene.rig.links_to(scene.rig.broker)
    with scene.hold(scene.rig.broker) as is_mine:
        if not is_mine:
            return None
        began_at = time.time()
        async with behaving(links, Behaviour(mode)):
            await asyncio.sleep(lasts_s)
            met = sum(link.met for link in links)
        return Strike(kind, f"{lasts_s:.1f} s", began_at, time.time(), met, 0)


async def restart_redis(scene: Scene, kind: Kind) -> Strike | None:
    """Kill Redis and start it again: with all that it held, with nothing, or with what it held once."""
    files = scene.rig.redis_files
    with scene.hold(REDIS) as is_mine:
        if not is_mine or scene.rig.fleet.process_id(REDIS) is None:
            return None
        if kind is Kind.REDIS_OLD:
            files.remember()
            await asyncio.sleep(scene.random.uniform(3.0, 6.0))
        began_at = time.time()
        scene.rig.fleet.kill(REDIS, hold=True)
        if kind is Kind.REDIS_LOST:
            files.forget()
        elif kind is Kind.REDIS_OLD:
            files.set_back()
        await asyncio.sleep(scene.random.uniform(0.2, 3.0))
        scene.rig.fleet.let_go(REDIS)
        await _until(lambda: bool(scene.rig.redis.ping()))
        return Strike(kind, "", began_at, time.time(), 1, 0)


async def kill_database(scene: Scene) -> Strike | None:
    """Kill PostgreSQL and start it again."""
    with scene.hold(POSTGRES) as is_mine:
        if not is_mine or scene.rig.fleet.process_id(POSTGRES) is None:
            return None
        began_at = time.time()
        scene.rig.fleet.kill(POSTGRES, hold=True)
        await asyncio.sleep(scene.random.uniform(0.2, 3.0))
        scene.rig.fleet.let_go(POSTGRES)
        await _until(lambda: _database_answers(scene))
        return Strike(Kind.DATABASE_KILL, "", began_at, time.time(), 1, 0)


async def stall_database(scene: Scene) -> Strike | None:
    """Let the database answer nobody for a while: PostgreSQL on its links, SQLite by a writer's lock."""
    lasts_s = scene.random.uniform(2.0, 6.0)
    links = scene.rig.links_to(Peer.DATABASE)
    with scene.hold(POSTGRES) as is_mine:
        if not is_mine:
            return None
        began_at = time.time()
        if links:
            async with behaving(links, Behaviour(Mode.STALL)):
                await asyncio.sleep(lasts_s)
                met = sum(link.met for link in links)
        else:
            with ExitStack() as stack:
                # Whoever writes to SQLite keeps all others from it, and may be kept from it himself.
                try:
                    stack.enter_context(scene.rig.database.write())
                except ServiceUnavailable:
                    return None
                await asyncio.sleep(lasts_s)
                met = 1
        what = f"{lasts_s:.1f} s"
        return Strike(Kind.DATABASE_STALL, what, began_at, time.time(), met, 0)


def _database_answers(scene: Scene) -> bool:
    with scene.rig.database.read() as session:
        session.connection()
    return True


async def _until(answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BACK_WITHIN_S
    while True:
        try:
            if answers():
                return
        except (redis.RedisError, ServiceUnavailable):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)
