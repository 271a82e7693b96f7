"""Reading the file of one new batch into a batch of jobs, or saying why it is none.

Which batch it is, and that nobody else reads it, is the matter of `readers`.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import BinaryIO

from api.intake.upload import PACKED
from api.services import Services
from jobs.defaults import JobDefaults
from jobs.errors import (
    EmptySubmission,
    InvalidSubmission,
    LineFault,
    NotFound,
    ServiceUnavailable,
    SubmissionError,
    TidemillError,
    TooManyJobs,
    UnreadableBody,
)
from jobs.file_store import blocks
from jobs.ingest import Accepted, Intake
from jobs.lines import LineReader
from jobs.store import Session
from jobs.store.batches.uploads import BatchDraft
from jobs.store.surfaces import file_claims
from jobs.store.surfaces.file_batches import BatchFault
from jobs.store.surfaces.file_claims import Claim

log = logging.getLogger(__name__)

PAUSE_S = 2.0
"""After the database or the disk has failed, before the next look: what is wrong is rarely over at once."""

SIGN_EVERY_S = 3.0
"""Between two signs of life of a reader."""

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


@dataclass(frozen=True, slots=True)
class FileReading:
    """One reading of one batch's file, which ends early when the process does: `stopping`."""

    services: Services
    claim: Claim
    stopping: Event

    def run(self) -> None:
        """Read the file to its end, and say what came of it.

        Raises:
            IllegalTransition: somebody else has the claim, or the batch was cancelled.
        """
        claim = self.claim
        try:
            if claim.number > MOST_CLAIMS:
                raise UnreadableFile
            accepted = self._take_in()
        except (Stopping, ServiceUnavailable) as error:
            log.warning("%s is left to be read again: %s", claim.ref, error)
            with suppress(ServiceUnavailable), self.services.database.write() as session:
                file_claims.release(session, claim)
            if isinstance(error, ServiceUnavailable):
                self.stopping.wait(PAUSE_S)
        except (SubmissionError, NotFound, UnreadableFile) as error:
            with self.services.database.write() as session:
                file_claims.fail(session, claim, faults_of(error))
        else:
            self.services.feed(accepted.queues)

    def _take_in(self) -> Accepted:
        with self.services.files.open(self.claim.file_ref) as file:
            _check_packing(file)
            intake = self._intake()
            try:
                self._take_blocks(blocks(file), intake)
                return intake.accept(also=partial(_accept, self.claim))
            except BaseException:
                intake.abandon()
                raise

    def _intake(self) -> Intake:
        services, claim = self.services, self.claim
        defaults = JobDefaults.from_json(claim.defaults)
        with services.database.read() as session:
            prices = services.prices_if_budgeted(session, claim.project_id, claim.max_cost_nanos)
        reader = LineReader(
            defaults,
            services.catalogue,
            services.count_tokens,
            prices=prices,
            mixes_kinds=False,
        )
        draft = BatchDraft(
            project_id=claim.project_id,
            defaults=claim.defaults,
            name=claim.ref,
            priority=claim.priority,
            max_cost_nanos=claim.max_cost_nanos,
            lane=claim.wish.lane,
            deadline=claim.wish.deadline,
        )
        return Intake(
            services.database,
            draft,
            reader,
            slice_size=services.settings.slice_size,
            max_jobs=services.settings.max_jobs_per_batch,
        )

    def _take_blocks(self, content: Iterator[bytes], intake: Intake) -> None:
        told_at = time.monotonic()
        for block in content:
            if self.stopping.is_set():
                raise Stopping("this process ends")
            intake.take(block)
            if time.monotonic() - told_at > SIGN_EVERY_S:
                told_at = time.monotonic()
                with self.services.database.write() as session:
                    file_claims.touch(session, self.claim)


class UnreadableFile(TidemillError):
    """The file could not be read, in several tries: the log of the API says why."""

    code = "unreadable_file"


def _check_packing(file: BinaryIO) -> None:
    """Say once of a packed file what is wrong with it, instead of calling each of its lines malformed."""
    start = file.read(8)
    for mark, (kind, _) in PACKED.items():
        if start.startswith(mark):
            raise UnreadableBody(
                f"this looks like {kind}; expected lines of JSON, not packed", "invalid_encoding"
            )
    file.seek(0)


def _accept(claim: Claim, session: Session, batch_id: int) -> None:
    file_claims.accept(session, claim, batch_id)


def faults_of(error: TidemillError) -> list[BatchFault]:
    """Return why a file is no batch: line by line, or in one sentence."""
    if isinstance(error, InvalidSubmission) and error.faults:
        return [_fault(fault) for fault in error.faults]
    return [BatchFault(CODES.get(error.code, error.code), error.message)]


def _fault(fault: LineFault) -> BatchFault:
    code = "url_mismatch" if fault.field == "url" else CODES.get(fault.code, fault.code)
    message = f"{fault.field}: {fault.message}" if fault.field else fault.message
    return BatchFault(code, message, fault.field or None, fault.line)
