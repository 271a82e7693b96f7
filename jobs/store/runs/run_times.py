"""How runs stand to their deadlines: what was reckoned of one is noted, and what is left of each is told."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import case, func, update
from sqlmodel import Session, col, select

from jobs.deadlines import RunWindow
from jobs.pipelines.files import Pipeline
from jobs.pipelines.flow import Flow
from jobs.pipelines.standing import StageCounts, jobs_to_come
from jobs.states import RunState
from jobs.store.engine.database import now
from jobs.store.runs import runs
from jobs.store.runs.run_batches import ids_of
from jobs.tables import Job, Run, RunBatch
from jobs.timing import run_left_s, usable

SAMPLED = 10_000
"""Jobs of a batch, its first ones, by which the size of its calls is told."""


class StageSize(NamedTuple):
    """How large the jobs of a stage are, and which share of them is called for."""

    input_tokens: float
    called: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was reckoned of a run; see the columns of `jobs.tables.Run` that are called so."""

    quoted_jobs: int
    quoted_s: float | None = None
    unreachable: str | None = None


@dataclass(frozen=True, slots=True)
class RunTimes:
    """When a run began, and how many seconds of work are left of it; None where nobody can tell."""

    began_at: datetime
    left_s: float | None


def sizes_of_stages(session: Session, run_id: int) -> dict[int, StageSize]:
    """Return how large the jobs are that the stages of a run have by now."""
    is_called = col(Job.first_seq).is_(None)
    rows = session.exec(
        select(
            RunBatch.stage_no,
            func.count(),
            func.sum(case((is_called, 1), else_=0)),
            func.sum(case((is_called, col(Job.estimated_tokens)), else_=0)),
        )
        .join(Job, col(Job.batch_id) == col(RunBatch.batch_id))
        .where(RunBatch.run_id == run_id, Job.seq < SAMPLED)
        .group_by(col(RunBatch.stage_no))
    )
    return {
        stage_no: StageSize(int(tokens) / max(int(called), 1), int(called) / jobs)
        for stage_no, jobs, called, tokens in rows
    }


def counts_of(session: Session, run_id: int) -> list[StageCounts]:
    """Return how many rows of a run are where, of each of its stages."""
    return [
        StageCounts(stage.sent, stage.again, stage.failed, stage.done, stage.left_out)
        for stage in runs.stages(session, run_id)
    ]


def note_judged(session: Session, run_id: int, found: Judgement) -> bool:
    """Note what was reckoned of a run, once; return whether nobody had done it."""
    noted = session.connection().execute(
        update(Run)
        .where(
            col(Run.id) == run_id, col(Run.judged_at).is_(None), col(Run.state) == RunState.RUNNING
        )
        .values(
            judged_at=now(session),
            unreachable=found.unreachable,
            quoted_jobs=found.quoted_jobs,
            quoted_s=found.quoted_s,
        )
    )
    return noted.rowcount == 1


class KnownFlows:
    """How the stages of runs follow each other, and when they may work, while their files are the same."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[tuple[int, str], tuple[Flow, RunWindow | None]] = {}

    def times_of_batches(self, session: Session, moment: datetime) -> dict[int, RunTimes]:
        """Return the times of all running runs with a deadline, by the ids of their batches."""
        going = [
            run for run in runs.in_states(session, [RunState.RUNNING]) if run.deadline is not None
        ]
        self._forget({(run.id or 0, run.digest) for run in going})
        found: dict[int, RunTimes] = {}
        for run in going:
            assert run.id is not None  # a stored row has its key
            times = RunTimes(run.started_at or run.created_at, self._left_s(session, run, moment))
            found |= dict.fromkeys(ids_of(session, run.id), times)
        return found

    def _left_s(self, session: Session, run: Run, moment: datetime) -> float | None:
        assert run.id is not None  # a stored row has its key
        if run.judged_at is None:
            return None
        place = (run.id, run.digest)
        if place not in self._known:
            pipeline = Pipeline.from_json(runs.definition_of(session, run.id))
            self._known[place] = pipeline.flow, pipeline.window
        flow, window = self._known[place]
        left = sum(jobs_to_come(flow, run.rows, counts_of(session, run.id)))
        return run_left_s(
            run.quoted_s, run.quoted_jobs, left, usable(run.judged_at, moment, window)
        )

    def _forget(self, going: Collection[tuple[int, str]]) -> None:
        for place in self._known.keys() - going:
            del self._known[place]
