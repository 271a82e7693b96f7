"""Asking for a start at several targets at once: the first that grants one serves the job.

Asked one after the other, a thousand jobs would all stand at one target while the others idle.
"""

import asyncio
import logging
from collections.abc import Sequence

from workers.gate.gate import Ask, ComeBack, Ending, Gate, Grant

log = logging.getLogger(__name__)


async def first_grant(gate: Gate, asks: Sequence[Ask], patience_s: float) -> Grant | list[ComeBack]:
    """Return the first grant, of several at once that of the earlier ask; else what all answered.

    Whatever else is granted is given back, also if the caller is cancelled or an ask fails, which is
    raised if nothing is granted.
    """
    tasks = [asyncio.create_task(gate.ask(ask, patience_s)) for ask in asks]
    winner: Grant | None = None
    try:
        waiting = set(tasks)
        while waiting and winner is None:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            winner = next(filter(None, map(_granted, tasks)), None)
        return winner or [answer for task in tasks if isinstance(answer := task.result(), ComeBack)]
    finally:
        for task in tasks:
            task.cancel()  # one that waits gives back itself what it is granted
            grant = _granted(task)
            if grant is not None and grant is not winner:
                gate.settle(grant, Ending(sent=False))
            elif winner is not None and (fault := _fault(task)) is not None:
                log.error("an ask failed", exc_info=fault)


def _granted(task: asyncio.Task[Grant | ComeBack]) -> Grant | None:
    if not task.done() or task.cancelled() or task.exception() is not None:
        return None
    answer = task.result()
    return answer if isinstance(answer, Grant) else None


def _fault(task: asyncio.Task[Grant | ComeBack]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
