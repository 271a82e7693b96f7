"""The books of one transaction: what calls reserve, cost and bring, gathered and then written once.

Under the locks of the batches it concerns: attempts are admitted (`admission`) and closed, results
kept, and the ledger, the batches' totals (`tallies`) and the accounts of capped projects (`spending`)
advanced.
"""

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple

from sqlmodel import Session

from jobs.exchange import Usage
from jobs.prices import KNOWN_PRICES, Price
from jobs.states import BILLED_OUTCOMES, Outcome, ResultStatus, is_bad_answer
from jobs.store.attempts.attempt_keys import AttemptKey
from jobs.store.attempts.attempts import JOURNAL_COLUMNS, NATIVE_COLUMNS, close_attempts
from jobs.store.attempts.reports import Admission, Correction, Journal, ResultDraft, Settlement
from jobs.store.attempts.unknown import has_unknown_use, mark_reconciled
from jobs.store.engine.bulk import insert_rows
from jobs.store.money.admission import admit
from jobs.store.money.ledger import LedgerKey, LedgerSums, add_to_ledger
from jobs.store.money.spending import Account, days_sent, write_accounts
from jobs.store.money.tallies import Tally, write_tallies
from jobs.store.results.parts import PartRow, insert_parts
from jobs.store.results.results import RESULT_COLUMNS
from jobs.tables import Attempt, Result


class Books:
    """The totals, ledger sums and rows of one flush, gathered first and written once."""

    def __init__(
        self,
        session: Session,
        tallies: dict[int, Tally],
        moment: datetime,
        accounts: dict[int, Account],
    ) -> None:
        self._session = session
        self._tallies = tallies
        self._moment = moment
        self._day = moment.date()
        self._accounts = accounts
        self._days_sent: dict[AttemptKey, date] = {}
        self._ledger: dict[LedgerKey, LedgerSums] = {}
        self._attempts: list[tuple[object, ...]] = []
        self._native: list[tuple[object, ...]] = []
        self._closed: list[tuple[object, ...]] = []
        self._reconciled: list[AttemptKey] = []
        self._results: list[tuple[object, ...]] = []
        self._parts: list[PartRow] = []

    def admit(self, wish: Journal, holds: bool) -> Admission:
        """Reserve an attempt's money and journal it, if its lease holds and it may be made at all."""
        if not holds:
            return Admission.LEASE_LOST
        tally = self._tallies[wish.lease.batch_id]
        account = self._accounts.get(wish.lease.project_id)
        admission = admit(tally, account, wish, self._moment)
        if admission is Admission.ADMITTED:
            row = (
                wish.lease.batch_id,
                wish.seq,
                wish.n,
                wish.provider,
                wish.pool,
                wish.model,
                wish.price,
                wish.reserved_nanos,
                self._moment,
            )
            if wish.native_id is None:
                self._attempts.append(row)
            else:
                self._native.append((*row, wish.native_id, wish.live_price))
        return admission

    def find_days(self, settlements: Sequence[Settlement]) -> None:
        """Look up when attempts were sent that are booked on that day, or whose project has two days open."""
        torn = {of for of, account in self._accounts.items() if len(account.open_days()) > 1}
        keys = [
            key_of(made.journal)
            for made in settlements
            if made.journal.lease.project_id in torn or _is_of_its_day(made)
        ]
        self._days_sent = days_sent(self._session, keys)

    def settle(self, made: Settlement) -> None:
        """Close an attempt whose lease holds, and keep its result."""
        journal = made.journal
        tally = self._tallies[journal.lease.batch_id]
        tally.in_flight -= 1
        tally.reserved_nanos -= journal.reserved_nanos
        if (account := self._accounts.get(journal.lease.project_id)) is not None:
            day = self._days_sent.get(key_of(journal)) or next(iter(account.open_days()), self._day)
            account.settle(day, journal.reserved_nanos, made.cost_nanos or 0)
        # One of unknown use may be corrected, and is found where it was sent: of that its row tells.
        day_sent = self._days_sent.get(key_of(journal), self._day)
        self._book(_booked(journal), made, day_sent if _is_of_its_day(made) else self._day)
        self._count_bad(made)
        if made.part is not None:
            self._parts.append(
                (journal.lease.batch_id, journal.seq, made.part.no, journal.n, made.part.output)
            )
        if made.result is not None:
            self.keep(journal.lease.batch_id, journal.seq, journal.n, made.result)
            if made.outcome == Outcome.SUCCEEDED and made.cost_nanos is None:
                tally.unpriced_jobs += 1

    def correct(self, made: Settlement) -> None:
        """Book a late worker's answer: `unknown` until now. No result changes.

        A line of a native batch may have been given up as `unsent`, and turn up.
        """
        journal = made.journal
        attempt = self._session.get(Attempt, (journal.lease.batch_id, journal.seq, journal.n))
        if attempt is None or attempt.outcome not in {Outcome.UNKNOWN, Outcome.UNSENT}:
            return
        if attempt.outcome == Outcome.UNSENT and (
            attempt.native_id is None or made.outcome is Outcome.UNSENT
        ):
            return
        self._rebook(_booked(journal), attempt, attempt.sent_at.date(), made)
        self._count_bad(made)

    def _count_bad(self, made: Settlement) -> None:
        if made.is_bad:
            tally = self._tallies[made.journal.lease.batch_id]
            tally.bad_answers += 1
            tally.bad_nanos += made.cost_nanos or 0

    def reconcile(self, project_id: int, attempt: Attempt, found: Correction) -> bool:
        """Book what the provider billed for an attempt; False if its use is known by now."""
        if attempt.outcome is None:
            return False
        outcome, has_usage = Outcome(attempt.outcome), attempt.input_tokens is not None
        if not has_unknown_use(outcome, attempt.cost_nanos, has_usage=has_usage):
            return False
        if is_bad_answer(outcome, attempt.error_code):
            # From here on it is told as one whose use was learned.
            tally = self._tallies[attempt.batch_id]
            tally.bad_answers -= 1
            tally.bad_nanos -= attempt.cost_nanos or 0
        if outcome is Outcome.UNKNOWN:
            outcome = Outcome.FAILED if found.usage is None else Outcome.SUCCEEDED
        self._rebook(
            _Booked(project_id, attempt.batch_id, attempt),
            attempt,
            attempt.sent_at.date(),
            _Ending(outcome, found.usage, found.cost_nanos, attempt.latency_ms, attempt.error_code),
        )
        self._reconciled.append((attempt.batch_id, attempt.seq, attempt.n))
        return True

    def _rebook(
        self, of: "_Booked", attempt: Attempt, day: date, ended: "Settlement | _Ending"
    ) -> None:
        """Replace what an attempt of unknown use was charged; `day` is where the ledger has it."""
        tally = self._tallies[of.batch_id]
        charged_nanos = attempt.cost_nanos or 0
        outcome = Outcome(attempt.outcome or Outcome.UNKNOWN)
        booked = self._sums(of, outcome, day)
        booked.attempts -= 1
        if outcome is not Outcome.UNSENT:
            booked.unpriced_attempts -= attempt.cost_nanos is None
            tally.unknown_attempts -= 1
        booked.cost_nanos -= charged_nanos
        tally.spent_nanos -= charged_nanos
        if (account := self._accounts.get(of.project_id)) is not None:
            account.correct(attempt.sent_at.date(), charged_nanos, ended.cost_nanos or 0)
        self._book(of, ended, day)

    def keep(self, batch_id: int, seq: int, attempt: int | None, draft: ResultDraft) -> None:
        """Append a result and count it."""
        tally = self._tallies[batch_id]
        match draft.status:
            case ResultStatus.SUCCEEDED:
                tally.succeeded += 1
            case ResultStatus.FAILED:
                tally.failed += 1
            case ResultStatus.CANCELLED:
                tally.cancelled += 1
            case ResultStatus.EXPIRED:
                tally.expired += 1
        self._results.append(
            (
                batch_id,
                seq,
                tally.finished_jobs,
                draft.status.value,
                draft.output,
                draft.finish_reason,
                draft.error_code,
                draft.error_message,
                attempt,
                draft.source,
                self._moment,
                draft.mended,
            )
        )

    def write(self) -> None:
        """Write everything that was gathered."""
        write_tallies(self._session, self._tallies)
        insert_rows(self._session, Attempt, JOURNAL_COLUMNS, self._attempts)
        if self._native:
            insert_rows(self._session, Attempt, NATIVE_COLUMNS, self._native)
        insert_rows(self._session, Result, RESULT_COLUMNS, self._results)
        if self._parts:
            insert_parts(self._session, self._parts)
        close_attempts(self._session, self._closed)
        mark_reconciled(self._session, self._reconciled, self._moment)
        write_accounts(self._session, self._accounts.values())
        add_to_ledger(self._session, self._ledger)

    def _book(self, of: "_Booked", ended: "Settlement | _Ending", day: date) -> None:
        """Close an attempt and add what it used and cost to its batch and to the ledger's day."""
        tally, usage = self._tallies[of.batch_id], ended.usage or NO_USAGE
        tally.spent_nanos += ended.cost_nanos or 0
        tally.input_tokens += usage.input_tokens
        tally.cached_input_tokens += usage.cached_input_tokens
        tally.cache_write_tokens += usage.cache_write_tokens
        tally.output_tokens += usage.output_tokens
        tally.reasoning_tokens += usage.reasoning_tokens
        saved_nanos = 0
        if tally.cache_saved_nanos is not None:
            saved_nanos = _cache_saved(of.call, usage)
            tally.cache_saved_nanos += saved_nanos
        is_billed = ended.usage is not None and ended.cost_nanos is not None
        if of.call.live_price is not None and is_billed:
            live_nanos = _price_of(of.call.live_price).cost_nanos(usage)
            tally.lane_saved_nanos += live_nanos - (ended.cost_nanos or 0)
        has_usage = ended.usage is not None
        billed = ended.outcome in BILLED_OUTCOMES or has_usage
        # An answer without usage is charged at its worst case as much as one that never came.
        if has_unknown_use(ended.outcome, ended.cost_nanos, has_usage=has_usage):
            tally.unknown_attempts += 1
        self._sums(of, ended.outcome, day).add(
            usage, ended.cost_nanos or 0, saved_nanos, unpriced=billed and ended.cost_nanos is None
        )
        self._closed.append(
            (
                ended.outcome.value,
                *((None,) * 5 if ended.usage is None else usage.counts()),
                ended.cost_nanos,
                ended.latency_ms,
                ended.error_code,
                of.batch_id,
                of.call.seq,
                of.call.n,
            )
        )

    def _sums(self, of: "_Booked", outcome: Outcome, day: date) -> LedgerSums:
        """Return the ledger sums of a day that an attempt belongs to."""
        call = of.call
        key = LedgerKey(day, of.project_id, call.provider, call.pool, call.model, outcome)
        return self._ledger.setdefault(key, LedgerSums())


class _Booked(NamedTuple):
    """An attempt and whose it is."""

    project_id: int
    batch_id: int
    call: Journal | Attempt


def _booked(journal: Journal) -> _Booked:
    return _Booked(journal.lease.project_id, journal.lease.batch_id, journal)


def _cache_saved(call: Journal | Attempt, usage: Usage) -> int:
    """Return what a prompt cache saved of a call, by the price that was journaled with it."""
    if call.price is None or not (usage.cached_input_tokens or usage.cache_write_tokens):
        return 0
    return _price_of(call.price).cache_saved_nanos(usage)


_price_of = lru_cache(maxsize=KNOWN_PRICES)(Price.from_json)


def _has_unknown_use(made: Settlement) -> bool:
    return has_unknown_use(made.outcome, made.cost_nanos, has_usage=made.usage is not None)


def _is_of_its_day(made: Settlement) -> bool:
    """Whether a settlement is booked on the day of the sending: it may be corrected, and is found there."""
    is_given_up = made.outcome is Outcome.UNSENT and made.journal.native_id is not None
    return is_given_up or _has_unknown_use(made)


class _Ending(NamedTuple):
    """How an attempt of unknown use ended, as the provider's account tells."""

    outcome: Outcome
    usage: Usage | None
    cost_nanos: int | None
    latency_ms: int | None
    error_code: str | None


NO_USAGE = Usage()


def key_of(journal: Journal) -> AttemptKey:
    """Return the key of an attempt."""
    return journal.lease.batch_id, journal.seq, journal.n
