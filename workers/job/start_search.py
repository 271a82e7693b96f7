"""The search for a job's next start: its targets asked at the gate, and what to do if none has one."""

import asyncio
from dataclasses import dataclass
from functools import partial

from jobs.routing import Target
from jobs.store.batches.jobs import OpenJob
from workers.gate.gate import Ask, Grant
from workers.job.detour import DETOUR_PATIENCE_S, LONGEST_REST_S, PACE_PATIENCE_S, Patience, Wait
from workers.job.dialogue import Dialogue
from workers.job.race import first_grant
from workers.job.suspicion import is_suspect
from workers.slices.open_slice import OpenSlice


@dataclass(frozen=True, slots=True)
class Work:
    """A job as it goes to whichever target answers it."""

    dialogue: Dialogue
    patience: Patience


@dataclass(frozen=True, slots=True)
class Again:
    """The job is to be attempted again, `wait_s` from now."""

    wait_s: float


class StartSearch:
    """The search of one job, for one attempt after the other."""

    def __init__(self, opened: OpenSlice, job: OpenJob) -> None:
        self._opened = opened
        self._parts = opened.parts
        self._job = job
        self._is_resumed = job.last_attempt > 0
        """Whether it was begun under an earlier lease. Else the calls of a worker that was lost stood
        behind the thousands that wait here already, and so would their batch's last result."""
        self._waiting_since: float | None = None
        """Since when the job asks for its next attempt without getting one."""

    async def run(self, work: Work) -> Grant | Again | None:
        """Return a start, or when to look again; None if that is a later lease's matter.

        The job's task may be cancelled meanwhile, by its slice that is closing.
        """
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in a task
        self._opened.enters_gate(task)
        try:
            return await self._go_round(work)
        except asyncio.CancelledError:
            if not self._opened.is_closing:
                raise
            task.uncancel()
            return None
        finally:
            self._opened.leaves_gate(task)

    async def _go_round(self, work: Work) -> Grant | Again | None:
        if self._opened.is_closing:
            return None
        if is_suspect(self._job):
            await self._parts.quarantine.enter(self)
        if (prefix := work.dialogue.prefix) is not None:
            question = (self._opened.lease.batch_id, self._job.seq, work.dialogue.part)
            target = work.dialogue.targets[0]
            await self._parts.prompt_caches.enter(self, question, target, prefix)
        loop, gate = asyncio.get_running_loop(), self._parts.gate
        if self._waiting_since is None:
            self._waiting_since = loop.time()
        left_s = work.patience.left_s(loop.time() - self._waiting_since)
        first, *others = work.dialogue.targets
        first_s = min(left_s, DETOUR_PATIENCE_S) if others else PACE_PATIENCE_S
        answer = await gate.ask(self._ask_for(work, first), first_s)
        if isinstance(answer, Grant):
            return answer
        if not others or not work.patience.is_over(answer, left_s):
            return self._wait(work, Wait.after([answer]), first_s)
        asks = [self._ask_for(work, target) for target in work.dialogue.targets]
        answers = await first_grant(gate, asks, DETOUR_PATIENCE_S)
        if isinstance(answers, Grant):
            return answers
        return self._wait(work, Wait.after(answers), first_s + DETOUR_PATIENCE_S)

    def _ask_for(self, work: Work, target: Target) -> Ask:
        forecast, dialogue = self._parts.forecast, work.dialogue
        most = dialogue.request.most_output_tokens
        lease = self._opened.lease
        return Ask(
            provider=target.provider,
            model=target.model,
            input_tokens=forecast.cautious_input_tokens(
                target.provider, target.model, dialogue.estimated_tokens
            ),
            output_tokens=forecast.output_tokens(lease.batch_id, target.model, most),
            max_output_tokens=most,
            priority=lease.priority,
            renew=partial(self._ask_for, work, target),
            is_resumed=self._is_resumed,
        )

    def _wait(self, work: Work, wait: Wait, patience_s: float) -> Again | None:
        """Wait for the gate within the lease, or leave the job to a later one.

        `patience_s` is how long it may be until the job has asked again.
        """
        opened, provider = self._opened, work.dialogue.targets[0].provider
        if wait.is_short or (
            wait.is_blocked
            and wait.wait_s <= LONGEST_REST_S
            and self._parts.vigil.joins(provider, opened)
        ):
            told_again_s = wait.told_again_s(patience_s)
            opened.waits(wait.reason, told_again_s, is_blocked=wait.is_blocked)
            return Again(wait.rest_s)
        opened.park(wait.wait_s, wait.reason)
        return None

    def found(self) -> None:
        """Note that a start is given: who asks again waits anew."""
        self._waiting_since = None
        self._opened.goes_on()

    def used(self) -> None:
        """Note that the call may leave: a start that is given back is no reason to stand behind others."""
        self._is_resumed = False

    def over(self) -> None:
        """Note that the attempt has ended, or was not made."""
        self._parts.quarantine.leave(self)
        self._parts.prompt_caches.leave(self)
