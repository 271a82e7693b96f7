"""A night of pipelines for tests: its sources and sinks are lists, and its workers answer at once."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import update
from sqlmodel import col, select

from jobs.clock import utcnow
from jobs.configuration import Configuration, PriceOverride, ProtocolName, Provider
from jobs.exchange import Usage
from jobs.pipelines.ends import SinkSection, SourceSection
from jobs.pipelines.files import Pipeline, load_pipeline
from jobs.pipelines.rows import OutputRow, ReadSource, RunFacts, SourceRow, WriteSink, Written
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.states import BatchState, Outcome, ResultStatus, RunKind, SliceState
from jobs.store import Database
from jobs.store.attempts.reports import Admission, ResultDraft, Settlement
from jobs.store.batches import batches
from jobs.store.batches.jobs import open_jobs
from jobs.store.leases import leases, slices
from jobs.store.money.settlement import flush
from jobs.store.projects import ensure_project
from jobs.store.results import results
from jobs.store.runs import runs
from jobs.store.runs.runs import RunWish
from jobs.tables import Batch, Job, Run, RunBatch, RunClaim, RunItem, RunSink, Slice
from tests.support.rows import journal_of
from workers.pipelines.conductor import Conductor, Doors
from workers.pipelines.judging import Judge
from workers.pipelines.rows_ahead import stages_of

Answer = Callable[[dict[str, Any]], Any]
"""The output of a job by its line, merged with nothing; an exception fails it."""

USAGE, COST_NANOS = Usage(input_tokens=4, output_tokens=3), 10
"""Of each answer, whatever the prices are."""

CONFIGURATION = Configuration(
    providers={
        "sim": Provider(
            protocol=ProtocolName.OPENAI, base_url="http://127.0.0.1", models=("sim-*",)
        )
    },
    prices={"sim/sim-small": PriceOverride(input="0.01", output="0.02")},
)


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Night:
    """One pipeline, its conductor, and what its sinks got."""

    def __init__(
        self,
        database: Database,
        pipeline: Pipeline,
        rows: list[SourceRow],
        configuration: Configuration = CONFIGURATION,
    ) -> None:
        self.database = database
        self.pipeline = pipeline
        self.rows = rows
        self.delivered: dict[str, list[OutputRow]] = {}
        self.configuration = configuration
        self.conductor = self.another_conductor()

    def another_conductor(
        self,
        read: ReadSource | None = None,
        write: WriteSink | None = None,
        database: Database | None = None,
    ) -> Conductor:
        """Return a conductor of the same rows."""
        return Conductor(
            database or self.database,
            partial(stages_of, Catalogue(self.configuration), PriceBook(self.configuration)),
            Doors(read or self._read, write or self._write, feed=repr),
            Judge(self.configuration, Catalogue(self.configuration), dict),
            slice_size=3,
            pool=AtOnce(),
        )

    def begin(self, **wish: Any) -> Run:
        """Make a run."""
        with self.database.write() as session:
            project_id = ensure_project(session, "default")
            given = {"kind": RunKind.MANUAL, "due_at": utcnow(), **wish}
            run = runs.begin(session, self.pipeline, RunWish(project_id=project_id, **given))
        assert run is not None
        return run

    def run(self, ref: str) -> Run:
        """Read a run."""
        with self.database.read() as session:
            return runs.find(session, 1, ref)

    def go_on(self, answer: Answer, looks: int = 12) -> None:
        """Let conductor and workers take turns."""
        for _ in range(looks):
            self.conductor.look()
            answer_all(self.database, answer)

    def stage_counts(self, run: Run) -> list[tuple[int, int, int, int, int]]:
        """Return (sent, again, done, failed, left out) of each stage."""
        with self.database.read() as session:
            assert run.id is not None
            return [
                (one.sent, one.again, one.done, one.failed, one.left_out)
                for one in runs.stages(session, run.id)
            ]

    def lines(self, run: Run) -> dict[str, list[str]]:
        """Return the names of the jobs of each stage, those of all its batches."""
        with self.database.read() as session:
            found = session.exec(
                select(RunBatch.stage_no, Job.custom_id)
                .join(Job, col(Job.batch_id) == col(RunBatch.batch_id))
                .where(RunBatch.run_id == run.id)
            ).all()
        names = [stage.name for stage in self.pipeline.stages]
        return {
            name: sorted(custom_id for stage_no, custom_id in found if stage_no == number)
            for number, name in enumerate(names)
        }

    def batches(self, run: Run) -> list[Batch]:
        """Return the batches of a run."""
        with self.database.read() as session:
            return list(
                session.exec(
                    select(Batch)
                    .join(RunBatch, col(RunBatch.batch_id) == col(Batch.id))
                    .where(RunBatch.run_id == run.id)
                    .order_by(col(Batch.id))
                )
            )

    def items(self, run: Run) -> list[RunItem]:
        """Return all items of a run."""
        with self.database.read() as session:
            return list(session.exec(select(RunItem).where(RunItem.run_id == run.id)))

    def sweep_cancelled(self) -> None:
        """End the jobs of batches that are being cancelled, as the sweep does."""
        with self.database.write() as session:
            for batch_id in batches.in_state(session, BatchState.CANCELLING):
                batch = batches.lock(session, batch_id)
                for piece in slices.idle_slices(session, batch_id, limit=100):
                    results.cancel_jobs(session, batch, piece)
                    slices.close(session, batch, piece)
                batches.finish_if_complete(session, batch)

    def forget_claims(self) -> None:
        """Let whoever held a claim have died long ago."""
        with self.database.write() as session:
            long_ago = utcnow() - timedelta(days=1)
            session.connection().execute(update(RunClaim).values(until=long_ago))

    def forget_waits(self) -> None:
        """Let every wait for another try be over."""
        with self.database.write() as session:
            for table in (Run, RunSink):
                session.connection().execute(update(table).values(next_try_at=None))

    def _read(self, source: SourceSection, run: RunFacts) -> Iterator[SourceRow]:
        del source, run
        yield from self.rows

    def _write(self, sink: SinkSection, run: RunFacts, rows: Iterator[OutputRow]) -> Written:
        del run
        written = list(rows)
        self.delivered[sink.ndjson or ""] = written
        return Written(len(written), sink.ndjson or "")


def night(
    database: Database,
    folder: Path,
    toml: str,
    rows: list[dict[str, Any]],
    configuration: Configuration = CONFIGURATION,
) -> Night:
    """Return a night with a pipeline from its text, and a source with these rows, by `id`."""
    path = folder / "pipeline.toml"
    path.write_text(toml)
    given = [SourceRow(str(row["id"]), row) for row in rows]
    return Night(database, load_pipeline(path), given, configuration)


def answer_all(database: Database, answer: Answer) -> int:
    """Answer all open jobs of slices that nobody has, as a worker would; return how many there were."""
    answered = 0
    with database.read() as session:
        waiting = session.exec(
            select(Batch.ref, Slice.no)
            .join(Batch, col(Batch.id) == col(Slice.batch_id))
            .where(Slice.state == SliceState.WAITING)
            .order_by(col(Slice.batch_id), col(Slice.no))
        ).all()
    for ref, no in waiting:
        with database.write() as session:
            claimed = leases.claim(session, ref, no, "worker-1")
        if claimed is None:
            continue
        lease, cut = claimed
        with database.read() as session:
            jobs = open_jobs(session, lease.batch_id, cut, is_first_lease=lease.fence == 1)
        journals = [journal_of(lease, job.seq, job.last_attempt + 1) for job in jobs]
        with database.write() as session:
            admissions = flush(session, journals, [])
            settlements = [
                _settlement(journal, job.request, answer)
                for journal, job, admission in zip(journals, jobs, admissions, strict=True)
                if admission is Admission.ADMITTED
            ]
            if settlements:
                flush(session, [], settlements)
            if len(settlements) == len(jobs):
                leases.finish(session, lease)
            else:
                leases.give_back(session, lease)
        answered += len(settlements)
    return answered


def _settlement(journal: Any, request: str, answer: Answer) -> Settlement:
    try:
        output = json.dumps(answer(json.loads(request)))
    except ValueError as error:
        bad = ResultDraft(ResultStatus.FAILED, error_code=str(error), error_message="it was bad")
        return Settlement(journal, Outcome.REJECTED, result=bad, error_code=str(error))
    good = ResultDraft(ResultStatus.SUCCEEDED, output=output)
    return Settlement(journal, Outcome.SUCCEEDED, usage=USAGE, cost_nanos=COST_NANOS, result=good)
