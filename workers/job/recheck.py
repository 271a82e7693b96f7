"""Which answers of the batch that is retried are still good: judged again, where what is asked has changed.

Nothing is read or written here. An answer that succeeded stays if it is what its line asks for now, whatever
else was changed. One that was not usable, and that is chosen to be tried again, becomes the job's if it is
usable now. Failures that are not chosen stay what they are.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from jobs.defaults import JobDefaults
from jobs.errors import TidemillError
from jobs.exchange import Answer, Finish
from jobs.kinds import KINDS
from jobs.kinds.kind import Bad, Good, Plan, Verdict
from jobs.lines import rebuild
from jobs.states import ResultStatus
from jobs.store.batches.retried import Earlier, Retried
from jobs.store.results.kept import Judged, Keeping
from workers.job.conclusions import storable

NEVER_RUN = frozenset({ResultStatus.CANCELLED, ResultStatus.EXPIRED})
"""Ends of jobs whose batch had no time to look what they were answered before."""

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Recheck:
    """Between a batch's defaults, and those of the batch that it retries."""

    retried: Retried
    old: JobDefaults
    new: JobDefaults

    @classmethod
    def of(cls, retried: Retried, new: JobDefaults) -> "Recheck":
        """Return what compares a batch with the one that it retries."""
        return cls(retried, JobDefaults.from_json(retried.defaults), new)

    @property
    def is_needed(self) -> bool:
        """Whether anything was changed, so that answers have to be read and judged."""
        return self.old != self.new

    def keepings(self, jobs: Iterable[Earlier]) -> Iterator[Keeping]:
        """Yield what jobs get without a call; the others are to be called for.

        One whose answer can't be judged by our own fault is one of those: it holds up nobody.
        """
        for job in jobs:
            try:
                keeping = self._keeping(job)
            except BaseException:  # not only an Exception: libraries in Rust panic
                log.exception("an answer can't be judged again, and is asked for: job %d", job.seq)
                continue
            if keeping is not None:
                yield keeping

    def is_undecided(self, job: Earlier) -> bool:
        """Whether a job that is to be run again was never come to: what was before that counts."""
        return job.status in NEVER_RUN and self._is_chosen(job)

    def _keeping(self, job: Earlier) -> Keeping | None:
        if job.status == ResultStatus.SUCCEEDED:
            return self._again(job) if self.is_needed else _as_it_is(job)
        if not self._is_chosen(job):
            return _as_it_is(job)
        return self._recovered(job) if self.is_needed else None

    def _is_chosen(self, job: Earlier) -> bool:
        codes = self.retried.codes
        return codes is None or job.error_code in codes

    def _again(self, job: Earlier) -> Keeping | None:
        """Judge an answer that has succeeded; None if it is not what is asked for now."""
        if job.output is None or (job.mended and not self.new.repair):
            return None
        plans = self._plans(job)
        if plans is None:
            return None
        was, plan = plans
        if _is_judged_alike(was, plan):
            return _as_it_is(job)
        output = msgspec.json.decode(job.output)
        verdict = plan.recheck(output, was)
        if isinstance(verdict, Good) and verdict.output == output:
            return _as_it_is(job)
        return self._judged(job, verdict)

    def _recovered(self, job: Earlier) -> Keeping | None:
        """Judge an answer that was not usable; None if it isn't now, or there is none.

        Of a job of several parts that can only be the last one's.
        """
        plans = self._plans(job) if job.output is not None else None
        if plans is None or job.output is None or job.finish_reason is None:
            return None
        was, plan = plans
        kept = [msgspec.json.decode(part) for part in job.parts]
        if len(kept) + 1 != len(plan.requests) or (kept and not _is_cut_alike(was, plan)):
            return None
        text = str(msgspec.json.decode(job.output))
        verdict = plan.judge(kept, Answer(text, Finish(job.finish_reason), None))
        if isinstance(verdict, Bad):
            return None
        joined = plan.join([*kept, verdict.output])
        if isinstance(joined, Good) and joined.mended is None:
            joined = Good(joined.output, verdict.mended)
        return self._judged(job, joined)

    def _judged(self, job: Earlier, verdict: Verdict | None) -> Keeping | None:
        if not isinstance(verdict, Good):
            return None
        mended = verdict.mended or job.mended
        if mended and not self.new.repair:
            return None
        output = msgspec.json.encode(verdict.output).decode()
        judged = Judged(output, job.finish_reason, mended and storable(mended))
        return Keeping(job.seq, ResultStatus.SUCCEEDED, job.copied, job.origin, judged)

    def _plans(self, job: Earlier) -> tuple[Plan, Plan] | None:
        """Return what the line asked for and what it asks for now; None if this version can't tell."""
        kind = KINDS.get(job.kind)
        if kind is None:
            return None
        try:
            was, now = (
                kind.plan(rebuild(job.kind, job.request, defaults))
                for defaults in (self.old, self.new)
            )
        except TidemillError:
            return None
        return was, now


def _as_it_is(job: Earlier) -> Keeping:
    """Return the result as it was; a job that was cancelled has failed for that reason."""
    succeeded = job.status == ResultStatus.SUCCEEDED
    status = ResultStatus.SUCCEEDED if succeeded else ResultStatus.FAILED
    return Keeping(job.seq, status, job.copied, job.origin)


def _is_judged_alike(was: Plan, plan: Plan) -> bool:
    return bool(_encode((was.requests, was.judged_by)) == _encode((plan.requests, plan.judged_by)))


def _is_cut_alike(was: Plan, plan: Plan) -> bool:
    """Whether the parts are of the same texts, so that outputs of the one are outputs of the other."""
    return [request.messages for request in was.requests] == [
        request.messages for request in plan.requests
    ]
