"""The whole system for a run: real processes, each with links of its own to all that it speaks to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import redis

from jobs.errors import ServiceUnavailable, TidemillError
from jobs.settings import Settings
from jobs.store import Database, ensure_first_key, migrate, open_database
from scripts.benchmarks.cases import Store
from scripts.benchmarks.configuration import configuration
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.system import own_home
from scripts.fault_injection import clocks, rabbitmq
from scripts.fault_injection.arguments import Broker, Options
from scripts.fault_injection.excuses import CALL_DEADLINE_S, MAX_ATTEMPTS
from scripts.fault_injection.fleet import Fleet
from scripts.fault_injection.kinds import Kind
from scripts.fault_injection.proxy import Link
from scripts.fault_injection.servers import (
    HOST,
    RedisFiles,
    own_cluster,
    postgres_part,
    redis_part,
)
from scripts.launcher.part import Part
from scripts.launcher.ready import free_port
from scripts.launcher.up import UpOptions, our_parts

THINKS = "uniform:1000,80"
"""Long enough that a kill meets calls in flight, on both sides of their answer."""

HEADROOM = 1.25
"""The pool's limit, in parts of what would just do the jobs in the given time: work lasts."""

IN_FLIGHT = 300
"""Calls of each worker at once: room for those that hang."""

READY_WITHIN_S = 180.0


class Peer(StrEnum):
    """Who is at the other end of a link."""

    REDIS = "redis"
    BROKER = "broker"
    """Where that is not the Redis."""
    DATABASE = "database"
    PROVIDER = "provider"


Links = Mapping[tuple[str, Peer], Link]
"""By the name of the part that has it and the peer that it leads to."""


@dataclass(frozen=True, slots=True)
class Rig:
    """A running system. `database` and `redis` lead to the servers themselves, past all links.

    `virtual_host` is that of the broker, None where the Redis is the broker. `clocks` are the files by
    which clocks can be set, by the parts' names: of each worker its own, with SQLite one of all parts.
    """

    url: str
    key: str
    workers: tuple[str, ...]
    fleet: Fleet
    links: Links
    database: Database
    redis: redis.Redis
    redis_files: RedisFiles
    virtual_host: str | None
    clocks: Mapping[str, Path]
    provider: Provider
    calls_s: float
    home: Path

    @property
    def our_parts(self) -> tuple[str, ...]:
        """The names of API, beat and workers."""
        return (*self.workers, "api", "beat")

    @property
    def broker(self) -> Peer:
        """Who carries the messages."""
        return Peer.REDIS if self.virtual_host is None else Peer.BROKER

    def links_to(self, peer: Peer) -> list[Link]:
        """Return all links to somebody."""
        return [link for (_, other), link in self.links.items() if other is peer]

    def links_of(self, part: str) -> list[Link]:
        """Return all links of a part."""
        return [link for (name, _), link in self.links.items() if name == part]


@asynccontextmanager
async def running_rig(options: Options) -> AsyncIterator[Rig]:
    """Run the system of these options, in a home of its own; nothing of it is left at the end.

    Raises:
        ServiceUnavailable: something does not start.
        ConfigurationError: a server's program is missing.
    """
    async with contextlib.AsyncExitStack() as stack:
        home = stack.enter_context(own_home())
        ledger = ("--ledger", str(home / "provider.jsonl"))
        seed = ("--seed", str(options.seed))
        provider = stack.enter_context(running_provider(THINKS, *seed, *ledger))
        fleet = Fleet(home)
        servers = stack.enter_context(_servers(options, home, fleet, provider))
        ports = servers.ports
        settings = Settings(
            home=home,
            config=home / "tidemill.toml",
            database_url=_postgres_url(ports[Peer.DATABASE]) if Peer.DATABASE in ports else "",
        )
        database = open_database(settings.resolved_database_url(), connections=2)
        stack.callback(database.close)
        key_file = await _prepare(database, home)
        server = stack.enter_context(redis.Redis(HOST, ports[Peer.REDIS], socket_timeout=2.0))
        calls_s = HEADROOM * options.jobs / options.lasts_s
        up = UpOptions(host=HOST, port=free_port(), workers=options.workers, flower_port=None)
        parts = our_parts(settings, up, settings.config)
        links = await stack.enter_async_context(_links([part.name for part in parts], ports))
        parts = [_linked(part, home, links, calls_s, servers.virtual_host) for part in parts]
        files = _clock_files(options, home, parts)
        for part in parts:
            clock = files.get(part.name)
            fleet.add(part if clock is None else clocks.settable(part, clock))
        tending = asyncio.create_task(fleet.tend())
        stack.callback(tending.cancel)
        url = f"http://{HOST}:{up.port}"
        await _until_ready(url)
        yield Rig(
            url=url,
            key=key_file.read_text(encoding="utf-8").strip(),
            workers=tuple(part.name for part in parts if part.name.startswith("worker")),
            fleet=fleet,
            links=links,
            database=database,
            redis=server,
            redis_files=servers.redis_files,
            virtual_host=servers.virtual_host,
            clocks=files,
            provider=provider,
            calls_s=calls_s,
            home=home,
        )


@dataclass(frozen=True, slots=True)
class _Servers:
    """What the parts speak to; see `Rig`."""

    ports: Mapping[Peer, int]
    redis_files: RedisFiles
    virtual_host: str | None


@contextmanager
def _servers(options: Options, home: Path, fleet: Fleet, provider: Provider) -> Iterator[_Servers]:
    """Start Redis, the database and the broker, as far as they are servers; they end with the fleet."""
    with contextlib.ExitStack() as stack:
        is_apart = options.broker is Broker.RABBITMQ
        virtual_host = stack.enter_context(rabbitmq.own_virtual_host()) if is_apart else None
        data = stack.enter_context(own_cluster()) if options.store is Store.POSTGRES else None
        stack.callback(lambda: clocks.forget(fleet.started))
        stack.callback(fleet.stop)
        ports = {Peer.REDIS: free_port(), Peer.PROVIDER: urlsplit(provider.url).port or 0}
        files = RedisFiles(home / "redis")
        fleet.add(redis_part(files, ports[Peer.REDIS]))
        if data is not None:
            ports[Peer.DATABASE] = free_port()
            fleet.add(postgres_part(data, ports[Peer.DATABASE]))
        if virtual_host is not None:
            ports[Peer.BROKER] = rabbitmq.PORT
        yield _Servers(ports, files, virtual_host)


@asynccontextmanager
async def _links(parts: Sequence[str], ports: Mapping[Peer, int]) -> AsyncIterator[Links]:
    """Give each part a link to each port."""
    links = {(part, peer): Link(port) for part in parts for peer, port in ports.items()}
    try:
        for link in links.values():
            await link.open()
        yield links
    finally:
        for link in links.values():
            await link.close()


def _linked(part: Part, home: Path, links: Links, calls_s: float, virtual_host: str | None) -> Part:
    """Return a part that reaches everything over links of its own."""
    ports = {peer: link.port for (name, peer), link in links.items() if name == part.name}
    config = home / f"{part.name}.toml"
    url = f"http://{HOST}:{ports[Peer.PROVIDER]}"
    config.write_text(configuration(url, {"rpm": round(calls_s * 60)}), encoding="utf-8")
    has_server = Peer.DATABASE in ports
    redis_url = f"redis://{HOST}:{ports[Peer.REDIS]}/0"
    environment = {
        "TIDEMILL_CONFIG": str(config),
        "TIDEMILL_REDIS_URL": redis_url,
        "TIDEMILL_BROKER_URL": (
            redis_url
            if virtual_host is None
            else rabbitmq.address(virtual_host, ports[Peer.BROKER])
        ),
        "TIDEMILL_DATABASE_URL": _postgres_url(ports[Peer.DATABASE]) if has_server else "",
        "TIDEMILL_MAX_IN_FLIGHT": str(IN_FLIGHT),
        "TIDEMILL_CALL_DEADLINE_S": str(CALL_DEADLINE_S),
        "TIDEMILL_MAX_ATTEMPTS": str(MAX_ATTEMPTS),
    }
    return replace(part, environment={**part.environment, **environment})


def _clock_files(options: Options, home: Path, parts: Sequence[Part]) -> Mapping[str, Path]:
    """Return where parts read their time, if it is to be set."""
    if Kind.CLOCK not in options.kinds:
        return {}
    if options.store is Store.SQLITE:
        return {part.name: home / "all.clock" for part in parts}
    names = [part.name for part in parts if part.name.startswith("worker")]
    return {name: home / f"{name}.clock" for name in names}


def _postgres_url(port: int) -> str:
    return f"postgresql://postgres@{HOST}:{port}/postgres"


async def _prepare(database: Database, home: Path) -> Path:
    """Make the tables and the first key as soon as the server answers; return the key's file."""
    deadline = asyncio.get_running_loop().time() + READY_WITHIN_S
    while True:
        try:
            migrate(database)
            return ensure_first_key(database, home)
        except TidemillError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)


async def _until_ready(url: str) -> None:
    deadline = asyncio.get_running_loop().time() + READY_WITHIN_S
    # Not `launcher.ready.answers`, which holds up the loop that the links run on.
    async with httpx.AsyncClient(base_url=url, timeout=2.0, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get("/readyz")).is_success:
                    return
            if asyncio.get_running_loop().time() > deadline:
                raise ServiceUnavailable(f"the system is not ready after {READY_WITHIN_S:g} s")
            await asyncio.sleep(0.1)
