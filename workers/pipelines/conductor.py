"""The conductor: begins runs whose turn it is, has sources read, advances runs, has sinks written.

Every duty is claimed in the rows, so that any number of conductors do no harm; what one leaves behind
that dies, another finds when its claims have run out.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from jobs.errors import (
    ConfigurationError,
    LeaseLost,
    ServiceUnavailable,
    TidemillError,
    UnusableRow,
)
from jobs.pipelines.rows import ReadSource, WriteSink
from jobs.pipelines.turns import Other, may_start
from jobs.states import RunKind, RunState
from jobs.store import Database
from jobs.store.runs import run_claims, run_endings, run_sinks, runs
from jobs.tables import Run
from workers.pipelines.advancing import Turn, advance
from workers.pipelines.delivery import deliver
from workers.pipelines.judging import Judge
from workers.pipelines.keeping import kept
from workers.pipelines.reading import read_source
from workers.pipelines.rows_ahead import Stages

log = logging.getLogger(__name__)

BEAT_S = 1.0
"""Between two looks: a row waits so long at most between two stages, while the work of a second goes on."""

AT_ONCE = 4
"""Sources that are read and sinks that are written at the same time by one process."""

MOST_TRIES = 8
"""After which a source that can't be read fails its run: some ten minutes."""

MOST_KNOWN = 100
"""Runs whose stages are kept ready; those that have ended are forgotten with all others at times."""

TOLD_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Doors:
    """How rows come in and go out, and how a queue's window is filled after work was added."""

    read: ReadSource
    write: WriteSink
    feed: Callable[[str], object]


class Conductor:
    """Looks after all runs, in a thread of its own."""

    def __init__(
        self,
        database: Database,
        prepare: Callable[[str], Stages],
        doors: Doors,
        judge: Judge,
        *,
        slice_size: int,
        pool: Executor | None = None,
    ) -> None:
        """Look after the runs of this database.

        Args:
            database: where they are.
            prepare: makes a run's stages ready from its definition (`rows_ahead.stages_of`).
            doors: how sources are read and sinks are written.
            judge: reckons whether a run's deadline can be met.
            slice_size: jobs per slice at most.
            pool: in which sources are read and sinks are written; None for threads of its own.
        """
        self._database = database
        self._prepare = prepare
        self._doors = doors
        self._judge = judge
        self._slice_size = slice_size
        self._stopped = threading.Event()
        self._pool = pool or ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pipelines")
        self._under_way: set[tuple[int, str]] = set()
        self._known: dict[tuple[int, str], Stages] = {}

    def start(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._watch, name="conductor", daemon=True).start()

    def stop(self) -> None:
        """Look no longer; what is being read or written is left to whoever comes next."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self) -> bool:
        """Do whatever is to be done now; return whether rows moved, so that there may be more."""
        self.begin_due()
        self.read_sources()
        moved = self.advance_all()
        self.write_sinks()
        return moved

    def begin_due(self) -> None:
        """Begin the runs whose turn it is."""
        with self._database.read() as session:
            waiting = runs.in_states(session, [RunState.WAITING])
        refused: set[tuple[int, str, str | None]] = set()
        for run in waiting:
            # Who comes later in a queue has its turn later: a year of a backfill is looked at once.
            queue = (run.project_id, run.pipeline, run.group_ref)
            if queue in refused:
                continue
            try:
                has_begun = self._begin(run)
            except ServiceUnavailable:
                raise
            except Exception:  # the others go on, and the next look tries again
                log.exception("beginning run %s failed", run.ref)
                has_begun = False
            if not has_begun:
                refused.add(queue)

    def _begin(self, run: Run) -> bool:
        """Begin a waiting run if it has its turn; return whether it has."""
        assert run.id is not None  # a stored row has its key
        schedule = self._stages(run).pipeline.schedule
        overlap = schedule.overlap if schedule else "queue"
        me = Other(run.id, RunKind(run.kind), RunState.WAITING, run.group_ref)
        with self._database.read() as session:
            others = runs.unfinished_of(session, run.project_id, run.pipeline)
        if not may_start(me, overlap, run.at_once, others):
            return False
        with self._database.write() as session:
            # Two that begin at once might find that there is room for one more each.
            for other in others:
                runs.lock(session, other.run_id)
            others = runs.unfinished_of(session, run.project_id, run.pipeline)
            # One that was cancelled meanwhile is not taken up again by this.
            return may_start(me, overlap, run.at_once, others) and runs.move(
                session, run.id, RunState.RUNNING, source=RunState.WAITING
            )

    def read_sources(self) -> None:
        """Begin to read the sources that are to be read and that nobody reads."""
        with self._database.read() as session:
            due = run_sinks.due_to_read(session)
        for run in due:
            self._put_under_way(run, run_claims.READ, self._read)

    def advance_all(self) -> bool:
        """Advance every running run that nobody else advances; return whether rows moved."""
        with self._database.read() as session:
            running = runs.in_states(session, [RunState.RUNNING])
        moved = False
        for run in running:
            turn = self._claimed(run, run_claims.ADVANCE)
            if turn is None:
                continue
            try:
                self._judge.judge_if_due(self._database, run, turn.stages.pipeline)
                moved = advance(turn) or moved
            except LeaseLost as error:
                log.info("run %s: %s", run.ref, error)
            except ServiceUnavailable:
                raise
            except Exception:  # the others go on, and the next look tries again
                log.exception("advancing run %s failed", run.ref)
            finally:
                self._release(turn)
        return moved

    def write_sinks(self) -> None:
        """Begin to write the sinks that are due, and end the runs that have none left."""
        with self._database.read() as session:
            delivering = runs.in_states(session, [RunState.DELIVERING])
            due = {run.id: run_sinks.to_write(session, run.id) for run in delivering if run.id}
        for run in delivering:
            assert run.id is not None  # a stored row has its key
            with self._database.write() as session:
                done = run_sinks.complete(session, run.id)
            for sink_no in () if done else due[run.id]:
                self._put_under_way(
                    run,
                    run_claims.sink_duty(sink_no),
                    partial(self._deliver, sink_no),
                )

    def _put_under_way(self, run: Run, duty: str, do: Callable[[Turn], None]) -> None:
        assert run.id is not None  # a stored row has its key
        place = (run.id, duty)
        if place in self._under_way or len(self._under_way) >= AT_ONCE:
            return
        turn = self._claimed(run, duty)
        if turn is None:
            return
        self._under_way.add(place)

        def work() -> None:
            try:
                with kept(turn):
                    do(turn)
            except LeaseLost as error:
                log.info("run %s: %s", run.ref, error)
            except ServiceUnavailable as error:
                log.warning("run %s: %s", run.ref, error)
            except Exception:  # its claim runs out, and it is tried again
                log.exception("run %s: %s failed", run.ref, duty)
            finally:
                try:
                    self._release(turn)
                finally:
                    self._under_way.discard(place)

        self._pool.submit(work)

    def _read(self, turn: Turn) -> None:
        try:
            read_source(turn, self._doors.read)
        except (LeaseLost, ServiceUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a source raises is told, and tried again
            told = f"its source can't be read: {_told(error)}"
            log.warning("run %s: %s", turn.run.ref, told)
            with self._database.write() as session:
                tries = run_sinks.note_unread(session, turn.run_id, turn.claim, told)
                if tries >= MOST_TRIES or isinstance(error, UnusableRow):
                    run = runs.lock(session, turn.run_id)
                    run_endings.stop(session, run, RunState.FAILED, told)

    def _deliver(self, sink_no: int, turn: Turn) -> None:
        try:
            written = deliver(turn, sink_no, self._doors.write)
        except (LeaseLost, ServiceUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a sink raises is told, and tried again
            log.warning("run %s: sink %d: %s", turn.run.ref, sink_no, error)
            with self._database.write() as session:
                run_sinks.note_failed(session, turn.run_id, sink_no, turn.claim, _told(error))
            return
        with self._database.write() as session:
            run_sinks.note_written(session, turn.run_id, sink_no, turn.claim, written)

    def _claimed(self, run: Run, duty: str) -> Turn | None:
        """Claim a duty of a run; None if somebody else does it, or the run can't be understood."""
        assert run.id is not None  # a stored row has its key
        try:
            stages = self._stages(run)
        except ConfigurationError as error:
            with self._database.write() as session:
                run_endings.stop(
                    session, runs.lock(session, run.id), RunState.FAILED, error.message
                )
            return None
        with self._database.write() as session:
            number = run_claims.take(session, run.id, duty)
        if number is None:
            return None
        return Turn(self._database, run, stages, (duty, number), self._slice_size, self._feed)

    def _release(self, turn: Turn) -> None:
        with self._database.write() as session:
            run_claims.release(session, turn.run_id, *turn.claim)

    def _stages(self, run: Run) -> Stages:
        assert run.id is not None  # a stored row has its key
        place = (run.id, run.digest)
        if place not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            with self._database.read() as session:
                definition = runs.definition_of(session, run.id)
            self._known[place] = self._prepare(definition)
        return self._known[place]

    def _feed(self, queues: set[str]) -> None:
        for queue in sorted(queues):
            self._doors.feed(queue)

    def _watch(self) -> None:
        while not self._stopped.is_set():
            try:
                self.look()
            except ServiceUnavailable as error:
                log.warning("pipelines: %s", error)
            except Exception:  # the next look tries again
                log.exception("looking after pipelines failed")
            self._stopped.wait(BEAT_S)


def _told(error: Exception) -> str:
    text = error.message if isinstance(error, TidemillError) else f"{type(error).__name__}: {error}"
    return text[:TOLD_CHARACTERS]
