"""The books of one live call, in the writer's place: they know how it stands, and keep no text of it."""

import asyncio

import msgspec

from jobs.states import CUT_OFF, Outcome
from jobs.store.attempts.reports import Admission, Journal, ResultDraft, Settlement, Unattempted
from workers.writer import Writer

NOT_KEPT = "null"
"""The output that is stored of a call, as JSON: what was said is between those who talked."""


class CallBooks:
    """Journals and settles like the `Writer`, for one job."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._journaling: asyncio.Future[Admission] | None = None
        self._open: Journal | None = None
        self.is_sent = False
        """Whether the call of the open attempt has left."""
        self.refusal: Admission | None = None
        """What the last attempt was refused for, if it was."""
        self.result: ResultDraft | None = None
        """The end of the job, with its output; None while it has none."""

    async def journal(self, wish: Journal) -> Admission:
        """See `Writer.journal`. Whoever is cancelled here leaves an attempt to `close_attempt`."""
        self._open, self.is_sent = wish, False
        self._journaling = asyncio.ensure_future(self._writer.journal(wish))
        admission = await asyncio.shield(self._journaling)
        self.refusal = None
        if admission is not Admission.ADMITTED:
            self._open, self.refusal = None, admission
        return admission

    async def settle(self, ending: Settlement | Unattempted) -> None:
        """See `Writer.settle`."""
        if isinstance(ending, Settlement):
            self._open = None
        result = ending.result
        if result is not None:
            self.result = result
            output = None if result.output is None else NOT_KEPT
            kept = msgspec.structs.replace(result, output=output)
            ending = msgspec.structs.replace(ending, result=kept)
        await self._writer.settle(ending)

    async def close_attempt(self) -> None:
        """Settle the attempt that is open although nobody works on it any more, if there is one.

        One that was sent is charged at its worst case: what the provider does now is not known.
        """
        wish = self._open
        if wish is None or self._journaling is None:
            return
        if await self._journaling is not Admission.ADMITTED:
            self._open = None
            return
        if not self.is_sent:
            await self.settle(Settlement(journal=wish, outcome=Outcome.UNSENT))
            return
        charged_nanos = None if wish.price is None else wish.reserved_nanos
        await self.settle(
            Settlement(
                journal=wish, outcome=Outcome.UNKNOWN, cost_nanos=charged_nanos, error_code=CUT_OFF
            )
        )
