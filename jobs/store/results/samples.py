"""A sample of a batch's calls: of so many jobs, evenly spaced in the order in which they ended.

What a page draws of a million calls is drawn from this: a few hundred looks into two indexes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from jobs.store.results.arrivals import evenly
from jobs.store.results.results import is_one_of
from jobs.tables import Attempt, Batch, Result

JOBS = 480
"""In a sample; within the number of parameters that every SQLite build takes. A share of a half is then
known to within 5 per cent, nineteen times of twenty."""


@dataclass(frozen=True, slots=True)
class SampledCall:
    """A call of a sampled job, as `jobs.tables.Attempt` has it; `output_tokens` include the reasoning."""

    provider: str
    pool: str
    model: str
    outcome: str | None
    sent_at: datetime
    latency_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost_nanos: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """The calls of `jobs` jobs, out of `of_jobs` that have ended."""

    jobs: int
    of_jobs: int
    calls: Sequence[SampledCall]

    @property
    def weight(self) -> float:
        """How many jobs stand behind each that is in it."""
        return self.of_jobs / self.jobs if self.jobs else 0.0

    @property
    def is_complete(self) -> bool:
        """Whether it holds every job that has ended."""
        return self.jobs == self.of_jobs


def sample(session: Session, batch: Batch, jobs: int | None = None) -> Sample:
    """Return a sample of what a batch has called for up to now: of so many jobs, else of `JOBS`."""
    places = evenly(batch.finished_jobs, jobs or JOBS)
    of_batch = col(Result.batch_id) == batch.id
    seqs = list(
        session.connection()
        .execute(
            select(col(Result.seq)).where(
                of_batch, is_one_of(session, col(Result.position), places)
            )
        )
        .scalars()
    )
    rows = session.connection().execute(
        select(
            col(Attempt.provider),
            col(Attempt.pool),
            col(Attempt.model),
            col(Attempt.outcome),
            col(Attempt.sent_at),
            col(Attempt.latency_ms),
            col(Attempt.input_tokens)
            + col(Attempt.cached_input_tokens)
            + col(Attempt.cache_write_tokens),
            col(Attempt.output_tokens),
            col(Attempt.cost_nanos),
        ).where(col(Attempt.batch_id) == batch.id, is_one_of(session, col(Attempt.seq), seqs))
    )
    return Sample(len(seqs), batch.finished_jobs, [SampledCall(*row) for row in rows])
