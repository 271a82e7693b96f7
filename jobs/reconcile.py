"""Use case: compare a batch with its provider's own account, and book what the account tells.

The account's lines come in any order and may be millions. Each is put down in a file with those of
neighbouring jobs (`account_files`); then one file after the other is compared with the attempts of its
jobs. Nothing is booked before every line was read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from jobs.account_files import AccountFiles, JobRange
from jobs.billing import AccountLine, ChargedAttempt, Comparison, compare
from jobs.errors import (
    REPORTED_FAULTS,
    InvalidParameter,
    InvalidSubmission,
    LineFault,
    SubmissionTooLarge,
)
from jobs.states import Outcome
from jobs.store import Database, Session
from jobs.store.attempts.attempt_pages import AttemptDetail, attempts_of_jobs, providers_of
from jobs.store.attempts.reports import Correction
from jobs.store.batches.jobs import seqs_of
from jobs.store.money.settlement import reconcile
from jobs.tables import Batch
from jobs.verdict import Verdict, plus

MAX_LINES = 5_000_000
"""Of an account: five calls for each job of the largest batch. A billed one of a job with a short name
takes some 165 bytes of the disk, 800 MB for all."""

MAX_LINE_BYTES = 64 * 1024
"""A line is a few hundred; one without an end is no line."""

CORRECTED_PER_COMMIT = 300
"""Attempts that one transaction corrects: the batch's lock is held for 20 to 100 ms."""


def require_provider(
    session: Session, batch_id: int, provider: str | None, configured: Collection[str]
) -> None:
    """Return if an account may be this provider's.

    Raises:
        InvalidParameter: it is none of the configuration's, and none that the batch has called.
    """
    if provider is None or provider in configured:
        return
    known = sorted({*configured, *providers_of(session, batch_id)})
    if provider not in known:
        raise InvalidParameter(
            f"provider: expected {' or '.join(known) or 'none, as there is none'}; "
            f"got {provider[:80]!r}"
        )


class ProviderAccount:
    """A provider's account of one batch while it is read; to be used as a context, for its files.

    Those are in `folder`, some 200 bytes of the disk for each billed call.
    """

    def __init__(self, database: Database, batch: Batch, folder: Path) -> None:
        assert batch.id is not None
        self._database = database
        self._batch_id, self._project_id = batch.id, batch.project_id
        self._jobs = batch.total_jobs
        self._files = AccountFiles(folder, batch.total_jobs)
        self._carry = b""
        self._faults: list[LineFault] = []
        self._fault_count = 0
        self._line_number = 0
        self._verdict = Verdict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()

    def take(self, block: bytes) -> None:
        """Read the next bytes of NDJSON, of `AccountLine` each.

        Raises:
            SubmissionTooLarge: more lines than an account may have, or more calls for one job, or a
                line without an end.
            StorageFull: there is no room for it.
        """
        self._files.require_room()
        lines = (self._carry + block).split(b"\n")
        self._carry = lines.pop()
        self._take_lines(lines)
        if len(self._carry) > MAX_LINE_BYTES:
            raise SubmissionTooLarge(
                f"line {self._line_number + 1} is longer than {MAX_LINE_BYTES} bytes; "
                "is this NDJSON, one call per line?"
            )

    def close(self, *, provider: str | None, is_complete: bool, is_applied: bool) -> Verdict:
        """Compare everything that was read, and book what it tells if that `is_applied`.

        Args:
            provider: only our attempts at this provider are compared; None for all.
            is_complete: the account has every call that was billed, so that what it has not cost
                nothing.
            is_applied: correct the attempts of unknown use, some hundred to a transaction. What
                was corrected already stays, so it may be done again.

        Raises:
            InvalidSubmission: there are bad lines; nothing was booked.
            InvalidParameter: it is called complete and nobody says whose it is, where several
                providers were called: the others' lost calls would cost nothing. Or it is to be
                applied as complete and isn't: it is empty, or answered calls are missing.
        """
        if is_complete and provider is None:
            self._require_one_provider()
        self._take_lines([self._carry])
        if self._fault_count:
            raise InvalidSubmission(
                f"{self._fault_count:,} of {self._verdict.lines:,} lines are no calls; "
                "nothing was booked",
                faults=self._faults,
                fault_count=self._fault_count,
            )
        if is_complete and is_applied:
            self._require_no_gap(provider)
        for corrections in self._compare_all(provider, is_complete=is_complete):
            if is_applied:
                self._book(corrections)
        return self._verdict

    def _require_one_provider(self) -> None:
        with self._database.read() as session:
            called = providers_of(session, self._batch_id)
        if len(called) > 1:
            raise InvalidParameter(
                f"this batch called {', '.join(called)}: a complete account is one provider's; "
                "expected `provider` to name whose it is"
            )

    def _require_no_gap(self, provider: str | None) -> None:
        """Refuse an account that lacks what was answered for sure: it may lack what was lost as well."""
        if not self._verdict.lines:
            raise InvalidParameter(
                "the account has no line; an empty one can't tell that lost calls cost nothing"
            )
        read = replace(self._verdict, findings=[])
        for _ in self._compare_all(provider, is_complete=True):
            pass
        missing = self._verdict.overcharged.attempts
        if missing:
            raise InvalidParameter(
                f"the account is not complete: {missing:,} calls that were answered are not in it; "
                "nothing was booked (without `complete`, what it has can be applied)"
            )
        self._verdict = read

    def _compare_all(
        self, provider: str | None, *, is_complete: bool
    ) -> Iterator[list[Correction]]:
        """Compare file after file; what is to be corrected of each."""
        for jobs in self._files.ranges():
            yield self._compare_jobs(jobs, provider, is_complete=is_complete)

    def _book(self, corrections: Sequence[Correction]) -> None:
        for start in range(0, len(corrections), CORRECTED_PER_COMMIT):
            some = corrections[start : start + CORRECTED_PER_COMMIT]
            with self._database.write() as session:
                self._verdict.corrected += reconcile(
                    session, self._batch_id, self._project_id, some
                )

    def _take_lines(self, lines: Sequence[bytes]) -> None:
        read: list[AccountLine] = []
        for text in lines:
            self._line_number += 1
            if not text.strip():
                continue
            self._verdict.lines += 1
            try:
                read.append(_decode(text))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                self._fault(str(error))
        if self._verdict.lines > MAX_LINES:
            raise SubmissionTooLarge(f"an account may have {MAX_LINES:,} lines")
        with self._database.read() as session:
            seqs = seqs_of(session, self._batch_id, {line.name for line in read})
        self._put_down(read, seqs)

    def _put_down(self, lines: Iterable[AccountLine], seqs: Mapping[str, int]) -> None:
        """Write each billed call to the file of its job."""
        for line in lines:
            call = line.call()
            seq = seqs.get(line.name)
            if not call.is_billed:
                self._verdict.unbilled += 1
            elif seq is None or not 0 <= seq < self._jobs:
                self._verdict.foreign = plus(self._verdict.foreign, call.cost_nanos)
            else:
                self._files.put(seq, line.name, call)

    def _fault(self, message: str) -> None:
        self._fault_count += 1
        if len(self._faults) < REPORTED_FAULTS:
            said = message[:300]
            self._faults.append(LineFault(self._line_number, "invalid_call", "", said))

    def _compare_jobs(
        self, jobs: JobRange, provider: str | None, *, is_complete: bool
    ) -> list[Correction]:
        """Compare the jobs of one file; return what is to be corrected of them."""
        calls, names = self._files.read(jobs)
        with self._database.read() as session:
            attempts = attempts_of_jobs(session, self._batch_id, jobs.first_seq, jobs.last_seq)
        corrections: list[Correction] = []
        for seq, made in groupby(attempts, key=lambda attempt: attempt.seq):
            of_job = list(made)
            charged = [_charged(attempt) for attempt in of_job if _is_compared(attempt, provider)]
            found = compare(charged, calls.pop(seq, ()))
            self._verdict.count(found, of_job[0].custom_id)
            corrections += _corrections(seq, found, is_complete=is_complete)
        # Calls of jobs for which we know of no attempt at all.
        for seq, unrecorded in calls.items():
            self._verdict.count(compare([], unrecorded), names[seq])
        return corrections


_decode = msgspec.json.Decoder(AccountLine).decode


def _is_compared(attempt: AttemptDetail, provider: str | None) -> bool:
    """Whether an attempt was billed or may be, by the provider whose account this is."""
    may_be_billed = (
        attempt.outcome in (None, Outcome.SUCCEEDED)
        or attempt.is_unknown
        or attempt.usage is not None
    )
    return may_be_billed and provider in (None, attempt.provider)


def _charged(attempt: AttemptDetail) -> ChargedAttempt:
    return ChargedAttempt(
        attempt.n,
        attempt.model,
        attempt.outcome,
        attempt.is_unknown,
        attempt.usage,
        attempt.cost_nanos,
        attempt.price,
    )


def _corrections(seq: int, found: Comparison, *, is_complete: bool) -> Iterator[Correction]:
    for made, call in found.learned:
        yield Correction(seq, made.n, call.usage, made.cost_of(call))
    if is_complete:
        for made in found.unseen:
            yield Correction(seq, made.n, None, None)
