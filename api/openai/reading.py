"""Reading the files of new batches, in threads of the API: whichever process is there does it.

A batch's row says that it is to be read. Whoever claims it gives signs of life while he reads; if he is
killed, another one begins from the start, in whichever process, and what the dead one stored is dropped
like any upload that died.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from threading import Event, Thread

from api.openai.tidying import tidy
from api.services import Services
from jobs.defaults import JobDefaults
from jobs.errors import (
    EmptySubmission,
    IllegalTransition,
    InvalidSubmission,
    LineFault,
    NotFound,
    ServiceUnavailable,
    SubmissionError,
    TidemillError,
    TooManyJobs,
)
from jobs.file_store import blocks
from jobs.ingest import Accepted, Intake
from jobs.lines import LineReader
from jobs.store import Session, budgets, file_batches
from jobs.store.file_batches import BatchFault, Claim
from jobs.store.uploads import BatchDraft

log = logging.getLogger(__name__)

READERS = 2
"""Threads: a small batch need not wait for one of a million lines."""

LOOK_AGAIN_S = 2.0
"""Until it is looked for batches whose reader died, or that were made by another process."""

SIGN_EVERY_S = 3.0
"""Between two signs of life of a reader."""

TIDY_EVERY_S = 60.0

MOST_CLAIMS = 5
"""Readers that may die of one batch."""

CODES = {
    "invalid_json": "invalid_json_line",
    EmptySubmission.code: "empty_file",
    TooManyJobs.code: "too_many_tasks",
}
"""Codes for which OpenAI has words of its own."""


class Stopping(Exception):
    """This process ends; another one begins again."""


class Readers:
    """The threads of one process that read new batches."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopping = Event()
        self._woken = Event()
        self._tidied_at = time.monotonic()
        self._threads = [
            Thread(target=self._run, name=f"reader-{number}", daemon=True)
            for number in range(READERS)
        ]

    def start(self) -> None:
        """Begin to look for batches."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look for a batch now: one was made."""
        self._woken.set()

    def stop(self) -> None:
        """Return when no thread uses the database any more; what they were at is left to others."""
        self._stopping.set()
        self._woken.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                found = self.read_next()
                self._tidy_at_times()
            except ServiceUnavailable as error:
                log.warning("no batches can be read from files: %s", error)
                found = False
            except Exception:  # the next look tries again
                log.exception("looking for batches to be read failed")
                found = False
            if not found:
                self._woken.wait(LOOK_AGAIN_S)
                self._woken.clear()

    def _tidy_at_times(self) -> None:
        if time.monotonic() - self._tidied_at > TIDY_EVERY_S:
            self._tidied_at = time.monotonic()
            tidy(self._services)

    def read_next(self) -> bool:
        """Read the next batch that waits for it; return whether there was one."""
        database = self._services.database
        with database.read() as session:
            if not file_batches.is_any_waiting(session):
                return False
        with database.write() as session:
            claim = file_batches.claim_next(session)
        if claim is None:
            return False
        try:
            self._read(claim)
        except IllegalTransition as error:
            log.info("%s: %s", claim.ref, error)
        return True

    def _read(self, claim: Claim) -> None:
        try:
            if claim.number > MOST_CLAIMS:
                raise UnreadableFile
            accepted = self._take_in(claim)
        except (Stopping, ServiceUnavailable) as error:
            log.warning("%s is left to be read again: %s", claim.ref, error)
            with suppress(ServiceUnavailable), self._services.database.write() as session:
                file_batches.release(session, claim)
            if isinstance(error, ServiceUnavailable):
                self._stopping.wait(LOOK_AGAIN_S)
        except (SubmissionError, NotFound, UnreadableFile) as error:
            with self._services.database.write() as session:
                file_batches.fail(session, claim, faults_of(error))
        else:
            self._services.feed(accepted.queues)

    def _take_in(self, claim: Claim) -> Accepted:
        with self._services.files.open(claim.file_ref) as file:
            intake = self._intake(claim)
            try:
                self._take_blocks(claim, blocks(file), intake)
                return intake.accept(also=partial(_accept, claim))
            except BaseException:
                intake.abandon()
                raise

    def _intake(self, claim: Claim) -> Intake:
        services = self._services
        defaults = JobDefaults.from_json(claim.defaults)
        has_budget = claim.max_cost_nanos is not None
        if not has_budget:
            with services.database.read() as session:
                has_budget = budgets.is_capped(session, claim.project_id)
        reader = LineReader(
            defaults,
            services.catalogue,
            services.count_tokens,
            prices=services.prices if has_budget else None,
            mixes_kinds=False,
        )
        draft = BatchDraft(
            project_id=claim.project_id,
            defaults=claim.defaults,
            name=claim.ref,
            priority=claim.priority,
            max_cost_nanos=claim.max_cost_nanos,
        )
        return Intake(
            services.database,
            draft,
            reader,
            slice_size=services.settings.slice_size,
            max_jobs=services.settings.max_jobs_per_batch,
        )

    def _take_blocks(self, claim: Claim, content: Iterator[bytes], intake: Intake) -> None:
        told_at = time.monotonic()
        for block in content:
            if self._stopping.is_set():
                raise Stopping("this process ends")
            intake.take(block)
            if time.monotonic() - told_at > SIGN_EVERY_S:
                told_at = time.monotonic()
                with self._services.database.write() as session:
                    file_batches.touch(session, claim)


class UnreadableFile(TidemillError):
    """The file could not be read, in several tries: the log of the API says why."""

    code = "unreadable_file"


def _accept(claim: Claim, session: Session, batch_id: int) -> None:
    file_batches.accept(session, claim, batch_id)


def faults_of(error: TidemillError) -> list[BatchFault]:
    """Return why a file is no batch: line by line, or in one sentence."""
    if isinstance(error, InvalidSubmission) and error.faults:
        return [_fault(fault) for fault in error.faults]
    return [BatchFault(CODES.get(error.code, error.code), error.message)]


def _fault(fault: LineFault) -> BatchFault:
    code = "url_mismatch" if fault.field == "url" else CODES.get(fault.code, fault.code)
    message = f"{fault.field}: {fault.message}" if fault.field else fault.message
    return BatchFault(code, message, fault.field or None, fault.line)
