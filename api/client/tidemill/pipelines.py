"""Pipelines and their runs: what is done with them, by name."""

import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Protocol, TypeVar

from . import asks, run_asks
from .asks import Ask
from .deadline import Deadline
from .feed import Pauses
from .options import texts_of
from .run_shapes import Failure, Pipeline, Run
from .sums import Receipt

T = TypeVar("T")


class Asking(Protocol):
    """Sends a request, again while that may help, and returns its answer."""

    def __call__(self, ask: Ask[T], *, retry_for_s: float | None = None) -> T:
        """Return the answer."""
        ...


class Pipelines:
    """The pipelines of a project, as `client.pipelines`. Its methods raise what those of the client do."""

    def __init__(self, ask: Asking) -> None:
        self._ask = ask

    def list(self) -> Sequence[Pipeline]:
        """Return all of them, with the newest run of each, and files in which something is wrong."""
        return self._ask(run_asks.pipelines()).data

    def start(
        self, pipeline: str, *, date: date | str | None = None, idempotency_key: str | None = None
    ) -> Run:
        """Begin a run now; it waits for its turn if the pipeline says so.

        Args:
            pipeline: its name.
            date: what `{date}` stands for in its file; default: today.
            idempotency_key: under the same one it is the same run, also from another process.

        Raises:
            Conflict: its file is broken.
        """
        key = idempotency_key or secrets.token_urlsafe(18)
        return self._ask(run_asks.begin(pipeline, day_of(date), key))

    def run(self, run: Run | str) -> Run:
        """Return a run as it is now, with its stages and sinks."""
        return self._ask(run_asks.run(run_id_of(run)))

    def runs(self, pipeline: str | None = None, *, page_size: int = 100) -> Iterator[Run]:
        """Yield runs, the newest first, of one pipeline or of all; pages are fetched as they are needed."""
        cursor: str | None = None
        while True:
            page = self._ask(run_asks.runs(page_of(pipeline, page_size, cursor)))
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def wait(self, run: Run | str, *, timeout_s: float | None = None) -> Run:
        """Return a run once it has ended, however long the server is away meanwhile.

        Raises:
            TimeoutError: it has not ended by then; it goes on.
        """
        deadline, pauses = Deadline(timeout_s), Pauses()
        while True:
            found = self._ask(run_asks.run(run_id_of(run)), retry_for_s=deadline.left_s())
            if found.is_final:
                return found
            time.sleep(deadline.pause_s(pauses, standing_of(found)))

    def cancel(self, run: Run | str) -> Run:
        """Send nothing more for a run; what is in flight still counts. Raises `Conflict` if it has ended."""
        return self._ask(run_asks.cancel(run_id_of(run)))

    def retry(self, run: Run | str, *, from_stage: str | None = None, as_now: bool = False) -> Run:
        """Take up a run that has ended: rows that failed are asked for again, its sinks written anew.

        Args:
            run: the run, or its id; it is the same one afterwards.
            from_stage: only rows that failed in this stage or in a later one.
            as_now: by the pipeline's file as it is now, not as it was.

        Raises:
            Conflict: it has not ended, or the file has other stages now.
        """
        return self._ask(run_asks.retry(run_id_of(run), retry_of(from_stage, as_now=as_now)))

    def failures(self, run: Run | str, *, limit: int = 100) -> Sequence[Failure]:
        """Return rows that failed, in the order of the source: where, and of what."""
        return self._ask(run_asks.failures(run_id_of(run), limit)).data

    def receipt(self, run: Run | str) -> Receipt:
        """Return what the batches of a run cost together up to now, against the list price."""
        return self._ask(asks.receipt(run_id_of(run)))


def run_id_of(run: Run | str) -> str:
    """Return the id of a run."""
    return run if isinstance(run, str) else run.id


def day_of(date: date | str | None) -> dict[str, str]:
    """Return the query of a run for a day."""
    return {} if date is None else {"date": str(date)}


def page_of(pipeline: str | None, limit: int, cursor: str | None) -> dict[str, str]:
    """Return the query of a page of runs."""
    return texts_of({"pipeline": pipeline, "limit": limit, "cursor": cursor})


def retry_of(from_stage: str | None, *, as_now: bool) -> dict[str, str]:
    """Return the query of a retry."""
    return texts_of({"from": from_stage, "as_now": as_now or None})


def standing_of(run: Run) -> str:
    """Return where a run stands, for who waits no longer."""
    stages = ", ".join(f"{stage.done:,} done in {stage.name}" for stage in run.stages)
    return f"run {run.id} is {run.state}, with {run.rows.taken:,} rows, {stages}"
