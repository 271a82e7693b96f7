"""Live calls of one process: taken, made side by side, and ended in order when the process stops."""

import asyncio
import logging
from collections.abc import AsyncGenerator

from jobs.errors import ServiceUnavailable, TidemillError
from jobs.live import Answered, LiveCall, Piece
from workers.live.live_batch import LiveBatches
from workers.live.live_run import LiveRun
from workers.parts import Parts
from workers.runtime import HEARTBEAT_S

log = logging.getLogger(__name__)

SETTLED_WITHIN_S = 1.0
"""How long a call that is cut off at the end may take to tell so; a listener who doesn't read it is left."""


class Switchboard:
    """See `jobs.live.LiveCalls`. Used on the event loop that the parts live on."""

    def __init__(self, parts: Parts, owner: str) -> None:
        self._parts = parts
        self._batches = LiveBatches(parts.transactions, owner)
        self._runs: dict[asyncio.Task[None], LiveRun] = {}
        self._heart = asyncio.create_task(self._keep_beating())

    async def pieces(self, call: LiveCall) -> AsyncGenerator[Piece, None]:
        """See `jobs.live.LiveCalls`."""
        run = LiveRun(self._parts, self._batches, call)
        task = asyncio.create_task(run.run())
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        try:
            while True:
                piece = await run.pieces.get()
                if isinstance(piece, TidemillError):
                    raise piece
                yield piece
                if isinstance(piece, Answered):
                    return
        finally:
            # Nothing may be awaited: whoever reads may be in the middle of being cancelled.
            run.hang_up()

    async def drain(self, within_s: float) -> None:
        """See `jobs.live.LiveCalls`. One that is asked meanwhile is made, and waited for."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while self._runs and (left_s := until - loop.time()) > 0:
            log.info("%d live calls may finish within %.0f s", len(self._runs), left_s)
            await asyncio.wait(list(self._runs), timeout=left_s)
        if late := dict(self._runs):
            log.warning("%d live calls are cut off: this process stops", len(late))
            for run in late.values():
                run.cut_off()
            await asyncio.wait(late, timeout=SETTLED_WITHIN_S)

    async def close(self) -> None:
        """Cut off the calls that are under way, settle them, and end the batches."""
        self._heart.cancel()
        runs = dict(self._runs)
        for run in runs.values():
            run.hang_up()
        if runs:
            await asyncio.wait(runs)
        await self._batches.close()

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self._batches.renew()
            except ServiceUnavailable as error:
                log.warning("a heartbeat failed: %s", error)
            except Exception:  # the next one may get through
                log.exception("a heartbeat failed")
