"""What each kind of fault does to a rig, and that it really did something."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from random import Random
from typing import Any

import redis

from jobs.errors import ServiceUnavailable
from jobs.queues import CONTROL_QUEUE
from jobs.store.held import jobs_in_flight
from scripts.benchmarks.workload import PROVIDER
from scripts.fault_injection import clocks, rabbitmq
from scripts.fault_injection.fleet import REST_S
from scripts.fault_injection.kinds import Kind, Strike
from scripts.fault_injection.proxy import WELL, Behaviour, Link, Mode
from scripts.fault_injection.rig import Peer, Rig
from scripts.fault_injection.servers import POSTGRES, REDIS

LONGER_THAN_A_LEASE_S = 14.0
CLOCK = "clock"
"""What is held while the one clock of all parts is set."""

SETTLES_S = 0.1
"""What a frozen process had sent to a server is committed by then."""

TROUBLES: tuple[tuple[str, dict[str, object]], ...] = (
    ("hang", {}),
    ("reset", {}),
    ("close", {}),
    ("cut", {}),
    ("html200", {}),
    ("badjson", {}),
    ("usage_missing", {}),
    ("usage_absurd", {}),
    ("usage_negative", {}),
    ("drip", {"delay_s": 0.2}),
    ("slow", {"delay_s": 3.0}),
    ("429", {"wait_s": 1.0}),
    ("500", {}),
    ("503", {}),
    ("529", {}),
)
HITS_AT_MOST = 40
HIT_SHARE = 0.5
"""Of the calls while the provider is in trouble: the others are answered."""


class Striker:
    """Lets faults happen to a rig. What one of them has hold of, no other takes meanwhile."""

    def __init__(self, rig: Rig, random: Random) -> None:
        self.strikes: list[Strike] = []
        self._rig = rig
        self._random = random
        self._taken: set[str] = set()
        # Kinds that are not here need any one worker.
        self._needed: dict[Kind, tuple[str, ...]] = {
            Kind.KILL_API: ("api",),
            Kind.KILL_BEAT: ("beat",),
            Kind.KILL_ALL: rig.our_parts,
            Kind.FLUSH: (REDIS, rig.broker),
            Kind.BROKER_STALL: (rig.broker,),
            Kind.BROKER_CUT: (rig.broker,),
            Kind.REDIS_KEPT: (REDIS,),
            Kind.REDIS_LOST: (REDIS,),
            Kind.REDIS_OLD: (REDIS,),
            Kind.DATABASE_KILL: (POSTGRES,),
            Kind.DATABASE_STALL: (POSTGRES,),
            Kind.DISK_FULL: (REDIS,),
            Kind.PROVIDER: (Peer.PROVIDER,),
            Kind.WIRE: (),
        }
        if rig.database.is_sqlite:
            self._needed[Kind.CLOCK] = (CLOCK,)
        self._doing: dict[Kind, Callable[[], Awaitable[Strike | None]]] = {
            Kind.KILL_WORKER: self._kill_worker,
            Kind.KILL_API: lambda: self._kill(Kind.KILL_API, "api"),
            Kind.KILL_BEAT: lambda: self._kill(Kind.KILL_BEAT, "beat"),
            Kind.KILL_ALL: lambda: self._kill(Kind.KILL_ALL, *rig.our_parts),
            Kind.STOP_WORKER: self._stop_worker,
            Kind.FLUSH: self._flush,
            Kind.REDIS_KEPT: lambda: self._restart_redis(Kind.REDIS_KEPT),
            Kind.REDIS_LOST: lambda: self._restart_redis(Kind.REDIS_LOST),
            Kind.REDIS_OLD: lambda: self._restart_redis(Kind.REDIS_OLD),
            Kind.BROKER_STALL: lambda: self._lose_broker(Kind.BROKER_STALL, Mode.STALL),
            Kind.BROKER_CUT: lambda: self._lose_broker(Kind.BROKER_CUT, Mode.REFUSE),
            Kind.DATABASE_KILL: self._kill_database,
            Kind.DATABASE_STALL: self._stall_database,
            Kind.DISK_FULL: self._fill_disk,
            Kind.CLOCK: self._set_clock,
            Kind.PARTITION: self._partition,
            Kind.PROVIDER: self._trouble_provider,
            Kind.WIRE: self._wire,
        }

    def can(self, kind: Kind) -> bool:
        """Whether nobody has hold of what a fault of this kind needs."""
        needed = self._needed.get(kind)
        if needed is None:
            return bool(self._free(self._rig.workers))
        return not self._taken.intersection(needed)

    async def strike(self, kind: Kind) -> bool:
        """Let a fault of this kind happen, to its end; return whether it met anything."""
        done = await self._doing[kind]()
        if done is None or not done.hits:
            return False
        self.strikes.append(done)
        return True

    async def _kill_worker(self) -> Strike | None:
        worker = self._any_free(self._rig.workers)
        return None if worker is None else await self._kill(Kind.KILL_WORKER, worker)

    async def _kill(self, kind: Kind, *names: str) -> Strike | None:
        up = [name for name in names if self._rig.fleet.process_id(name) is not None]
        with self._hold(*up) as is_mine:
            if not is_mine or len(up) < len(names):
                return None
            # Frozen first: what is in flight can't change between the look and the kill.
            for name in up:
                self._rig.fleet.signal(name, signal.SIGSTOP)
            await asyncio.sleep(SETTLES_S)
            cut_off, at_most = self._in_flight(up)
            began_at = time.time()
            for name in up:
                self._rig.fleet.kill(name)
            await asyncio.sleep(REST_S)
            return Strike(kind, ", ".join(up), began_at, time.time(), len(up), at_most, cut_off)

    async def _stop_worker(self) -> Strike | None:
        worker = self._any_free(self._rig.workers)
        with self._hold(worker or "") as is_mine:
            if worker is None or not is_mine or self._rig.fleet.process_id(worker) is None:
                return None
            began_at = time.time()
            self._rig.fleet.signal(worker, signal.SIGSTOP)
            try:
                await asyncio.sleep(SETTLES_S)
                cut_off, at_most = self._in_flight([worker])
                await asyncio.sleep(LONGER_THAN_A_LEASE_S)
            finally:
                self._rig.fleet.signal(worker, signal.SIGCONT)
            return Strike(Kind.STOP_WORKER, worker, began_at, time.time(), 1, at_most, cut_off)

    async def _partition(self) -> Strike | None:
        worker = self._any_free(self._rig.workers)
        with self._hold(worker or "") as is_mine:
            if worker is None or not is_mine or self._rig.fleet.process_id(worker) is None:
                return None
            began_at = time.time()
            links = self._rig.links_of(worker)
            async with _behaving(links, Behaviour(Mode.STALL)):
                await asyncio.sleep(SETTLES_S)
                cut_off, at_most = self._in_flight([worker])
                await asyncio.sleep(LONGER_THAN_A_LEASE_S)
                met = sum(link.met for link in links)
            return Strike(Kind.PARTITION, worker, began_at, time.time(), met, at_most, cut_off)

    async def _fill_disk(self) -> Strike | None:
        lasts_s = self._random.uniform(3.0, 8.0)
        fleet, parts = self._rig.fleet, (*self._rig.our_parts, REDIS)
        with self._hold(REDIS) as is_mine:
            if not is_mine:
                return None
            began_at = time.time()
            try:
                for name in parts:
                    fleet.files_can_grow(name, can=False)
                await asyncio.sleep(lasts_s)
                met = self._redis_cannot_write()
            finally:
                for name in parts:  # who was started meanwhile has room already
                    fleet.files_can_grow(name, can=True)
            return Strike(Kind.DISK_FULL, f"{lasts_s:.1f} s", began_at, time.time(), int(met), 0)

    def _redis_cannot_write(self) -> bool:
        try:
            told: dict[str, Any] = self._rig.redis.info("persistence")
        except redis.RedisError:
            return False
        return bool(told["aof_last_write_status"] != "ok")

    async def _set_clock(self) -> Strike | None:
        files, is_shared = self._rig.clocks, self._rig.database.is_sqlite
        part = "beat" if is_shared else self._any_free(self._rig.workers)
        with self._hold(CLOCK if is_shared else part or "") as is_mine:
            if part is None or not is_mine:
                return None
            offset_s = self._random.choice((-1, 1)) * clocks.JUMP_S
            began_at = time.time()
            try:
                clocks.set_clock(files[part], offset_s)
                await asyncio.sleep(LONGER_THAN_A_LEASE_S)
                process_id = self._rig.fleet.process_id(part)
                met = process_id is not None and clocks.is_settable(process_id)
            finally:
                clocks.set_clock(files[part], 0)
            what = f"{offset_s:+d} s for {'all parts' if is_shared else part}"
            return Strike(Kind.CLOCK, what, began_at, time.time(), int(met), 0)

    async def _flush(self) -> Strike | None:
        with self._hold(REDIS, self._rig.broker) as is_mine:
            if not is_mine:
                return None
            try:
                keys = int(self._rig.redis.dbsize())
                self._rig.redis.flushall()
            except redis.RedisError:
                return None  # it is being started
            what = f"{keys} keys"
            if self._rig.virtual_host is not None:
                messages = rabbitmq.purge(self._rig.virtual_host, (PROVIDER, CONTROL_QUEUE))
                what += f", {messages} messages"
            return Strike(Kind.FLUSH, what, time.time(), time.time(), keys, 0)

    async def _lose_broker(self, kind: Kind, mode: Mode) -> Strike | None:
        lasts_s = self._random.uniform(2.0, 6.0)
        links = self._rig.links_to(self._rig.broker)
        with self._hold(self._rig.broker) as is_mine:
            if not is_mine:
                return None
            began_at = time.time()
            async with _behaving(links, Behaviour(mode)):
                await asyncio.sleep(lasts_s)
                met = sum(link.met for link in links)
            return Strike(kind, f"{lasts_s:.1f} s", began_at, time.time(), met, 0)

    async def _restart_redis(self, kind: Kind) -> Strike | None:
        files = self._rig.redis_files
        with self._hold(REDIS) as is_mine:
            if not is_mine or self._rig.fleet.process_id(REDIS) is None:
                return None
            if kind is Kind.REDIS_OLD:
                files.remember()
                await asyncio.sleep(self._random.uniform(3.0, 6.0))
            began_at = time.time()
            self._rig.fleet.kill(REDIS, hold=True)
            if kind is Kind.REDIS_LOST:
                files.forget()
            elif kind is Kind.REDIS_OLD:
                files.set_back()
            await asyncio.sleep(self._random.uniform(0.2, 3.0))
            self._rig.fleet.let_go(REDIS)
            await self._until(lambda: bool(self._rig.redis.ping()))
            return Strike(kind, "", began_at, time.time(), 1, 0)

    async def _kill_database(self) -> Strike | None:
        with self._hold(POSTGRES) as is_mine:
            if not is_mine or self._rig.fleet.process_id(POSTGRES) is None:
                return None
            began_at = time.time()
            self._rig.fleet.kill(POSTGRES, hold=True)
            await asyncio.sleep(self._random.uniform(0.2, 3.0))
            self._rig.fleet.let_go(POSTGRES)
            await self._until(self._database_answers)
            return Strike(Kind.DATABASE_KILL, "", began_at, time.time(), 1, 0)

    async def _stall_database(self) -> Strike | None:
        lasts_s = self._random.uniform(2.0, 6.0)
        links = self._rig.links_to(Peer.DATABASE)
        with self._hold(POSTGRES) as is_mine:
            if not is_mine:
                return None
            began_at = time.time()
            if links:
                async with _behaving(links, Behaviour(Mode.STALL)):
                    await asyncio.sleep(lasts_s)
                    met = sum(link.met for link in links)
            else:
                with ExitStack() as stack:
                    # Whoever writes to SQLite keeps all others from it, and may be kept from it himself.
                    try:
                        stack.enter_context(self._rig.database.write())
                    except ServiceUnavailable:
                        return None
                    await asyncio.sleep(lasts_s)
                    met = 1
            what = f"{lasts_s:.1f} s"
            return Strike(Kind.DATABASE_STALL, what, began_at, time.time(), met, 0)

    async def _trouble_provider(self) -> Strike | None:
        trouble, more = self._random.choice(TROUBLES)
        with self._hold(Peer.PROVIDER) as is_mine:
            if not is_mine:
                return None
            began_at = time.time()
            fault = {"kind": trouble, "probability": HIT_SHARE, "times": HITS_AT_MOST, **more}
            self._change_provider({"faults": [fault]})
            await asyncio.sleep(self._random.uniform(2.0, 4.0))
            left = self._change_provider({})["faults"]
            self._change_provider({"faults": []})
            hits = HITS_AT_MOST - sum(one["times"] for one in left)
            return Strike(Kind.PROVIDER, trouble, began_at, time.time(), hits, hits)

    async def _wire(self) -> Strike | None:
        (part, peer), link = self._random.choice(list(self._rig.links.items()))
        behaviour = Behaviour(
            self._random.choice([mode for mode in Mode if mode is not Mode.WELL]),
            delay_s=self._random.uniform(0.05, 1.0),
            after_bytes=self._random.choice((0, 1, 40, 300, 2000)),
        )
        with self._hold(part) as is_mine:
            if not is_mine:
                return None
            began_at = time.time()
            async with _behaving([link], behaviour):
                await asyncio.sleep(self._random.uniform(2.0, 4.0))
                met = link.met
            lost = met if peer is Peer.PROVIDER else 0
            what = f"{behaviour.mode} between {part} and {peer}"
            return Strike(Kind.WIRE, what, began_at, time.time(), met, lost)

    def _in_flight(self, workers: Sequence[str]) -> tuple[list[str], int]:
        """Return the jobs that some workers have calls in flight for, and how many these are at most.

        Without a database nobody can tell, and then none is bound to be known.
        """
        ids = [self._rig.fleet.process_id(name) for name in workers]
        try:
            with self._rig.database.read() as session:
                jobs = [job for pid in ids if pid for job in jobs_in_flight(session, pid)]
        except ServiceUnavailable:
            return [], round(len(workers) * self._rig.calls_s * 2)
        return jobs, len(jobs)

    def _change_provider(self, change: dict[str, object]) -> dict[str, Any]:
        reply = self._rig.provider.client.post("/_sim/faults", json=change)
        in_force: dict[str, Any] = reply.raise_for_status().json()
        return in_force

    def _database_answers(self) -> bool:
        with self._rig.database.read() as session:
            session.connection()
        return True

    async def _until(self, answers: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30.0
        while True:
            try:
                if answers():
                    return
            except (redis.RedisError, ServiceUnavailable):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)

    def _free(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name not in self._taken]

    def _any_free(self, names: Sequence[str]) -> str | None:
        free = self._free(names)
        return self._random.choice(free) if free else None

    @contextmanager
    def _hold(self, *names: str) -> Iterator[bool]:
        """Take these for oneself; yields whether nobody has them already."""
        if self._taken.intersection(names):
            yield False
            return
        self._taken.update(names)
        try:
            yield True
        finally:
            self._taken.difference_update(names)


@asynccontextmanager
async def _behaving(links: Sequence[Link], behaviour: Behaviour) -> AsyncIterator[None]:
    try:
        for link in links:
            await link.behave(behaviour)
        yield
    finally:
        for link in links:
            await link.behave(WELL)
