"""The kinds of faults, what is told of one that happened, and the order in which a seed deals them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Kind(StrEnum):
    """What can be made to happen. A name's beginning stands for all kinds that begin so."""

    KILL_WORKER = "kill-worker"
    KILL_API = "kill-api"
    KILL_BEAT = "kill-beat"
    KILL_ALL = "kill-all"
    """The API, beat and every worker, at the same moment."""
    STOP_WORKER = "stop-worker"
    """SIGSTOP for longer than a lease, then SIGCONT: it goes on with claims that are void."""
    FLUSH = "flush"
    """FLUSHALL, and RabbitMQ's queues emptied if that is the broker: it and the gate forget all."""
    REDIS_KEPT = "redis-kept"
    """Redis killed, and started again from its append-only file."""
    REDIS_LOST = "redis-lost"
    """Redis killed, and started again empty."""
    REDIS_OLD = "redis-old"
    """Redis killed, and started again with what it held a while ago."""
    BROKER_STALL = "broker-stall"
    """The broker answers nobody for a while; if that is the Redis, it is the gate's as well."""
    BROKER_CUT = "broker-cut"
    """Everybody is cut off from the broker, and refused for a while."""
    DATABASE_KILL = "database-kill"
    """PostgreSQL killed, and started again."""
    DATABASE_STALL = "database-stall"
    """The database answers nobody for a while."""
    DISK_FULL = "disk-full"
    """Our parts and Redis can write no byte to a file for a while: SQLite, its append-only file, logs."""
    CLOCK = "clock"
    """One worker's clock, or with SQLite that of all parts, is an hour off for longer than a lease."""
    PARTITION = "partition"
    """One worker reaches neither Redis nor database nor provider, for longer than a lease."""
    PROVIDER = "provider"
    """The provider hangs, resets, cuts off, lies, refuses or fails."""
    WIRE = "wire"
    """One link is slow, mute, dripping, reset, cut off after some bytes, or refused."""


@dataclass(slots=True)
class Strike:
    """A fault that happened. Times are Unix time; `hits` is how many things it was seen to have met.

    `may_be_unknown` bounds the attempts whose answer it may have lost. `cut_off` names the jobs that
    the workers that were hit had calls in flight for.
    """

    kind: Kind
    what: str
    began_at: float
    ended_at: float
    hits: int
    may_be_unknown: int
    cut_off: Sequence[str] = ()


def chosen(words: str) -> tuple[Kind, ...]:
    """Return the kinds that a list such as `kill,flush` names, each once, in their own order.

    Raises:
        ValueError: a word is the beginning of none.
    """
    wanted: set[Kind] = set()
    for word in words.split(","):
        found = {kind for kind in Kind if kind.startswith(word.strip())}
        if not found:
            raise ValueError(f"{word!r} is the beginning of none of {', '.join(Kind)}")
        wanted |= found
    return tuple(kind for kind in Kind if kind in wanted)


def deal(kinds: Sequence[Kind], random: Random) -> Iterator[Kind]:
    """Yield kinds for ever, like cards: all of them in some order, then all again in another.

    So even a short run meets every kind, and none of them by luck alone.
    """
    while True:
        yield from random.sample(kinds, len(kinds))
