"""The simulator as a process: listens, says where, and ends on SIGTERM or SIGINT."""

import asyncio
import gc
import signal
import sys

import orjson
import uvloop

from scripts.simulator.connection import Connection
from scripts.simulator.ledger import LedgerFile
from scripts.simulator.options import SimulatorOptions
from scripts.simulator.provider import Provider

FLUSH_INTERVAL_S = 0.05
"""The file of the ledger is at most this much behind."""

BACKLOG = 4096
"""A worker opens a thousand connections at once."""


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

    provider = Provider(options, loop.time, write if file is not None else None)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(
        lambda: Connection(loop, provider), options.host, options.port, backlog=BACKLOG
    )
    # What is here now stays: later collections need not look at it again.
    gc.freeze()
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
    sys.stdout.write(orjson.dumps({"url": url}).decode() + "\n")
    sys.stdout.flush()
    await stopped.wait()
    server.close()
    provider.ledger.finish()
    if file is not None:
        file.close()
