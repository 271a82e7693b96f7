"""How a run of a pipeline stands: its state, its rows, its deadline, its cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.dashboard import words
from api.dashboard.standing import Tone
from jobs.receipt import kept_deadline
from jobs.states import FINAL_RUN_STATES, RunState
from jobs.store import Session
from jobs.store.runs.run_totals import (
    NO_FAILURES,
    Failures,
    StageTotals,
    failures_in,
    sum_of,
    totals_of,
)
from jobs.tables import Run

TONES = {
    RunState.COMPLETED: Tone.GOOD,
    RunState.FAILED: Tone.BAD,
    RunState.CANCELLED: Tone.CAUTION,
    RunState.SKIPPED: Tone.QUIET,
    RunState.WAITING: Tone.QUIET,
    RunState.RUNNING: Tone.BUSY,
    RunState.DELIVERING: Tone.BUSY,
}


@dataclass(frozen=True, slots=True)
class RunStanding:
    """A run and what is known of it beside its row. `kept` is None where a deadline is open, or none."""

    row: Run
    failed: Failures
    totals: StageTotals
    kept: bool | None
    now: datetime

    @property
    def title(self) -> str:
        """Its pipeline and its day."""
        return f"{self.row.pipeline}, {self.row.day.isoformat()}"

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.row.state in FINAL_RUN_STATES

    @property
    def tone(self) -> Tone:
        """What its state means."""
        return Tone.BAD if self.failed.nothing_left else TONES[RunState(self.row.state)]

    @property
    def concern(self) -> str | None:
        """The one sentence about what is wrong with it; None where nothing is."""
        run = self.row
        if run.state == RunState.FAILED:
            return f"has failed: {run.trouble or 'see what became of its stages'}"
        if self.failed.nothing_left:
            return f"came to nothing: 0 of {words.count(run.rows)} rows came out"
        if self.kept is False and run.deadline is not None:
            late_s = ((run.finished_at or self.now) - run.deadline) / timedelta(seconds=1)
            late = f"by {words.duration(late_s)}"
            return f"missed its deadline {late}" if self.is_final else f"is late {late}"
        if self.is_final:
            return f"has lost {_rows(self.failed.count)} that failed" if self.failed.count else None
        if run.trouble:
            return f"waits: {run.trouble}"
        return None if run.unreachable is None else f"will be late: {run.unreachable}"

    @property
    def concern_tone(self) -> Tone:
        """How bad that is."""
        if self.tone is Tone.BAD or self.kept is False:
            return Tone.BAD
        return Tone.CAUTION if self.concern is not None else self.tone


def standings_of_runs(session: Session, found: Sequence[Run], now: datetime) -> list[RunStanding]:
    """Return how runs stand, in their order."""
    ids = [run.id for run in found if run.id is not None]
    totals, failures = totals_of(session, ids), failures_in(session, found)
    return [
        RunStanding(
            row=run,
            failed=failures.get(run.id or 0, NO_FAILURES),
            totals=sum_of(totals.get(run.id or 0, {})),
            kept=kept_deadline(run.state, run.deadline, run.finished_at, now),
            now=now,
        )
        for run in found
    ]


def runs_told(runs: Sequence[RunStanding]) -> list[str]:
    """Return in short how many runs are done, and in time, how many have failed, and how many go on."""
    done = [run for run in runs if run.row.state == RunState.COMPLETED]
    late = sum(run.kept is False for run in done)
    failed = sum(run.row.state == RunState.FAILED for run in runs)
    going_on = sum(not run.is_final for run in runs)
    in_time = (
        f" ({words.count(late)} after {'its' if late == 1 else 'their'} deadline)" if late else ""
    )
    return [
        *([f"{_runs(len(done))} done{in_time}"] if done else []),
        *([f"{_runs(failed)} failed"] if failed else []),
        *([f"{_runs(going_on)} at work"] if going_on else []),
    ]


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{words.count(count)} runs"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{words.count(count)} rows"
