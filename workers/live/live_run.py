"""The run of one live call: its job is run as any other's, with somebody who listens and may hang up."""

import asyncio
import logging
from dataclasses import replace
from typing import Any, cast

from pydantic import SecretStr

from jobs.configuration import Provider
from jobs.defaults import JobDefaults
from jobs.errors import (
    CallFailed,
    CallRejected,
    LiveCallError,
    NoPace,
    NoTarget,
    OverBudget,
    ProviderError,
    ServiceUnavailable,
    TidemillError,
)
from jobs.exchange import Answer, ModelRequest
from jobs.live import Answered, Event, LiveCall, Piece, Text
from jobs.states import ResultStatus
from jobs.store.attempts.reports import Admission, ResultDraft, Unattempted
from jobs.store.batches.jobs import OpenJob
from jobs.store.live import LiveJob
from workers.calls.calls import Caller
from workers.job import conclusions
from workers.job.job_run import JobRun
from workers.live.call_books import CallBooks
from workers.live.live_batch import LiveBatches, Place
from workers.live.open_call import OpenCall
from workers.parts import Parts
from workers.prompt_caching.prefix import Prefix
from workers.writer import Writer

log = logging.getLogger(__name__)

AHEAD = 256
"""Pieces that are held for a listener who is slower than the model; then the provider has to wait."""

REJECTED = frozenset({"rejected", "request_rejected", "context_too_long"})
"""Codes of results of which the request is at fault."""

HUNG_UP = "hung_up"
"""Error code of a call whose client did not wait for the answer."""

STOPPED = "stopped"
"""Error code of a call that was not over when its process had to end."""


SOON_S = 1.0
"""When a call may be sent again that has waited for as long as it may."""

UNUSABLE = "unusable_answer"
"""Error code of a call whose answer was passed on while it came, and was not what was asked for."""


class LiveRun:
    """One live call. `run` is a task of its own; `pieces` is where its listener reads."""

    def __init__(self, parts: Parts, batches: LiveBatches, call: LiveCall) -> None:
        self._parts = parts
        self._batches = batches
        self._call = call
        self._books = CallBooks(parts.writer)
        self._opened: OpenCall | None = None
        self._at_work: asyncio.Task[None] | None = None
        self._answer: Answer | None = None
        self._error: ProviderError | None = None
        """Of the last call, if it brought no answer."""
        self._is_hung_up = False
        self._is_cut_off = False
        self.pieces: asyncio.Queue[Piece | TidemillError] = asyncio.Queue(AHEAD)
        """What came, and last of all `Answered`, or the error."""

    def hang_up(self) -> None:
        """Cut the call off; it is settled before `run` returns."""
        self._is_hung_up = True
        # Nobody reads any more: whoever waits for room there would wait for ever.
        while not self.pieces.empty():
            self.pieces.get_nowait()
        if self._at_work is not None:
            self._at_work.cancel()

    def cut_off(self) -> None:
        """End the call for its listener too, who is told why; it is settled before `run` returns."""
        self._is_cut_off = True
        if self._at_work is not None:
            self._at_work.cancel()

    async def run(self) -> None:
        """Make the call, settle it, and tell the listener how it ended."""
        try:
            place = await self._batches.place(self._call.project_id, self._job())
        except ServiceUnavailable as error:
            await self._tell(error)
            return
        except Exception:
            log.exception("a live call can't be entered in the books")
            await self._tell(ServiceUnavailable())
            return
        try:
            await self._work(place)
            await self._books.close_attempt()
            end = self._end()
            if self._books.result is None:
                result = _failure(end)
                await self._books.settle(Unattempted(place.lease, place.seq, result))
        except Exception:
            log.exception("a live call of %s broke down", place.lease.batch_ref)
            end = CallFailed("Tidemill failed; its log says why", code="internal_error")
        finally:
            self._batches.leave(place)
        await self._tell(end)

    def _job(self) -> LiveJob:
        job = self._call.job
        return LiveJob(self._call.id, job.kind, job.model, job.estimated_tokens)

    async def _work(self, place: Place) -> None:
        if self._is_hung_up or self._is_cut_off:
            return
        listened = _Listened(self._parts.caller, self)
        # The books and the caller do what the writer and the caller do, for this job alone.
        parts = replace(
            self._parts, writer=cast("Writer", self._books), caller=cast("Caller", listened)
        )
        job = self._call.job
        defaults = JobDefaults(kind=job.kind, max_tokens=self._call.max_tokens)
        opened = self._opened = OpenCall(parts, place.lease, defaults)
        run = JobRun(opened, OpenJob(place.seq, job.kind, job.request, job.estimated_tokens, 0, 0))
        loop = asyncio.get_running_loop()
        # A call that is in flight then goes on to its end; only no other is made.
        patience = loop.call_later(self._parts.settings.live_wait_s, opened.close)
        self._at_work = asyncio.create_task(run.run())
        try:
            await asyncio.wait([self._at_work])
        finally:
            patience.cancel()
            opened.ended()
        if not self._at_work.cancelled() and (error := self._at_work.exception()) is not None:
            log.error("a live call of %s broke down", opened, exc_info=error)

    def _end(self) -> Answered | LiveCallError:
        """Return how the call has ended for the listener."""
        result = self._books.result
        if self._answer is not None and self._call.is_streamed:
            # It was heard as it came: what a check has made of it comes too late.
            return Answered(self._answer, "null")
        if result is None:
            return self._unanswered()
        if result.status is ResultStatus.SUCCEEDED and self._answer is not None:
            return Answered(self._answer, result.output or "null")
        code = result.error_code or CallFailed.code
        kind = CallRejected if code in REJECTED else CallFailed
        return kind(result.error_message, code=code)

    def _unanswered(self) -> LiveCallError:
        """Return why no call was made, or none any more."""
        if self._is_hung_up:
            return CallFailed("its client did not wait for the answer", code=HUNG_UP)
        opened = self._opened
        if self._is_cut_off:
            if self._books.is_sent:
                return CallFailed("Tidemill stopped before the answer was there", code=STOPPED)
            return NoTarget("this process of Tidemill stops", wait_s=SOON_S)
        if self._books.refusal in {Admission.NO_ROOM_YET, Admission.OVER_BUDGET}:
            return OverBudget()
        if opened is not None and opened.parked_for is not None:
            return NoTarget(opened.parked_for, wait_s=opened.wait_s)
        if self._error is not None:
            return CallFailed(self._error.message, code=self._error.code)
        waits_for = opened.waits_for if opened is not None else None
        if opened is not None and opened.is_blocked:
            return NoTarget(waits_for, wait_s=SOON_S)
        return NoPace(waits_for, wait_s=SOON_S)

    async def heard(self, data: bytes, text: str, *, is_passed: bool) -> None:
        """Pass a piece of the answer on; from the first one on nobody else is asked for it."""
        piece: Piece | None = Event(data) if is_passed and data else Text(text) if text else None
        if piece is None:
            return
        assert self._opened is not None  # or nobody had called
        if not self._opened.is_closing:
            self._opened.close()
        await self.pieces.put(piece)

    def sends(self) -> None:
        """Note that a call leaves."""
        self._books.is_sent = True
        self._answer = self._error = None

    def ended(self, end: Answer | ProviderError) -> None:
        """Note what the last call brought."""
        if isinstance(end, Answer):
            self._answer = end
        else:
            self._error = end

    @property
    def is_streamed(self) -> bool:
        """Whether somebody listens while the answer comes."""
        return self._call.is_streamed

    async def _tell(self, end: Piece | TidemillError) -> None:
        if not self._is_hung_up:
            await self.pieces.put(end)


class _Listened:
    """A caller whose calls are one run's."""

    def __init__(self, caller: Caller, run: LiveRun) -> None:
        self._caller = caller
        self._run = run
        self.readings = caller.readings

    async def call(
        self,
        provider: Provider,
        key: SecretStr | None,
        model: str,
        request: ModelRequest,
        *,
        kept: Prefix | None = None,
    ) -> Answer:
        """See `Caller.call`."""
        run = self._run
        run.sends()
        is_passed = request.passed is not None and provider.takes(request.passed.endpoint)

        async def listen(data: bytes, text: str) -> None:
            await run.heard(data, text, is_passed=is_passed)

        listener: Any = listen if run.is_streamed else None
        try:
            answer = await self._caller.call(
                provider, key, model, request, kept=kept, listener=listener
            )
        except ProviderError as error:
            run.ended(error)
            raise
        run.ended(answer)
        return answer


def _failure(end: Answered | LiveCallError) -> ResultDraft:
    """Return the result of a job that has none of its own."""
    if isinstance(end, Answered):
        return conclusions.failure(UNUSABLE, "the answer was passed on as it came")
    return conclusions.failure(end.code, end.message)
