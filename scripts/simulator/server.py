"""The simulator as a process: listens, says where, and ends on SIGTERM or SIGINT."""

import asyncio
import gc
import signal
import sys

import orjson
import uvloop

from scripts.simulator.connection import Connection
from scripts.simulator.ledger import LedgerFile
from scripts.simulator.listener import Listener
from scripts.simulator.options import SimulatorOptions
from scripts.simulator.provider import Provider

FLUSH_INTERVAL_S = 0.05
"""The file of the ledger is at most this much behind."""

STEP_S = 0.05
"""Between two looks at what has become due in the batches."""

GONE_AFTER_S = 0.05
"""Between the answer to who asks us to be offline, and being it."""


def serve(options: SimulatorOptions) -> None:
    """Serve until SIGTERM or SIGINT; prints `{"url": …}` as one line on stdout when it is ready.

    Raises:
        OSError: the port is taken, or the ledger's file can't be written.
    """
    uvloop.run(_serve(options))


async def _serve(options: SimulatorOptions) -> None:
    loop = asyncio.get_running_loop()
    file = None if options.ledger is None else LedgerFile(options.ledger, fsync=options.fsync)

    def write(line: bytes) -> None:
        if file is not None and file.append(line):
            loop.call_later(FLUSH_INTERVAL_S, file.flush)

    connections: set[Connection] = set()
    listener = Listener(options.host, options.port, lambda: Connection(loop, provider, connections))
    outages: set[asyncio.Task[None]] = set()

    def take_offline(seconds: float) -> None:
        outage = loop.create_task(_be_offline(listener, connections, seconds))
        outages.add(outage)
        outage.add_done_callback(outages.discard)

    provider = Provider(options, loop.time, write if file is not None else None, take_offline)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await listener.open()
    steps = loop.create_task(_advance(provider))
    # What is here now stays: later collections need not look at it again.
    gc.freeze()
    host = f"[{options.host}]" if ":" in options.host else options.host
    sys.stdout.write(orjson.dumps({"url": f"http://{host}:{listener.port}"}).decode() + "\n")
    sys.stdout.flush()
    await stopped.wait()
    steps.cancel()
    listener.end()
    provider.ledger.finish()
    if file is not None:
        file.close()


async def _be_offline(listener: Listener, connections: set[Connection], seconds: float) -> None:
    await asyncio.sleep(GONE_AFTER_S)
    listener.close()
    for connection in list(connections):
        connection.reset()
    await asyncio.sleep(seconds)
    await listener.open()


async def _advance(provider: Provider) -> None:
    while True:
        await asyncio.sleep(STEP_S)
        provider.batches.advance()
