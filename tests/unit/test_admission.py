"""Whether a call may be made: what its batch and every cap say to it, as a table, and the last round."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session

from jobs.states import BatchState, PauseCause
from jobs.store.attempts.reports import Admission, Journal
from jobs.store.leases.leases import Lease
from jobs.store.money.admission import LAST_ROUND, admit
from jobs.store.money.spending import Account, DaySpend
from jobs.store.money.tallies import Tally

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LEASE = Lease(1, "bat_1", 1, "normal", "{}", 0, "sim", 1)


def tally(
    state: str = BatchState.RUNNING,
    *,
    cap_nanos: int | None = None,
    spent_nanos: int = 0,
    reserved_nanos: int = 0,
) -> Tally:
    return Tally(
        state=state,
        pause_cause=None,
        waiting_for=None,
        needed_nanos=None,
        no_room_since=None,
        is_live=False,
        in_flight=int(reserved_nanos > 0),
        reserved_nanos=reserved_nanos,
        spent_nanos=spent_nanos,
        unknown_attempts=0,
        unpriced_jobs=0,
        bad_answers=0,
        bad_nanos=0,
        cache_saved_nanos=None,
        lane_saved_nanos=0,
        succeeded=0,
        failed=0,
        cancelled=0,
        expired=0,
        input_tokens=0,
        cached_input_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        max_cost_nanos=cap_nanos,
    )


def wish(worst_nanos: int = 10, price: str | None = "{}") -> Journal:
    return Journal(LEASE, 0, 1, "sim", "main", "small", price, worst_nanos)


def account(daily_nanos: int, used_nanos: int) -> Account:
    opened = Account(Session(), 1, NOW.date())
    opened.daily_nanos = daily_nanos
    opened.days[NOW.date()] = DaySpend(spent_nanos=used_nanos)
    return opened


@pytest.mark.parametrize(
    ("of_batch", "of_project", "asked", "said"),
    [
        (tally(), None, wish(), Admission.ADMITTED),
        (tally(), None, wish(price=None), Admission.ADMITTED),
        (tally(BatchState.QUEUED), None, wish(), Admission.ADMITTED),
        (tally(BatchState.PAUSED), None, wish(), Admission.RESTING),
        (tally(BatchState.CANCELLING), None, wish(), Admission.RESTING),
        (tally(cap_nanos=10), None, wish(price=None), Admission.UNPRICED),
        (tally(), account(10, 0), wish(price=None), Admission.UNPRICED),
        (tally(cap_nanos=15, spent_nanos=3, reserved_nanos=2), None, wish(), Admission.ADMITTED),
        (tally(cap_nanos=14, spent_nanos=3, reserved_nanos=2), None, wish(), Admission.NO_ROOM_YET),
        (tally(), account(15, 5), wish(), Admission.ADMITTED),
        (tally(), account(14, 5), wish(), Admission.NO_ROOM_YET),
        (tally(cap_nanos=99), account(14, 5), wish(), Admission.NO_ROOM_YET),
    ],
)
def test_a_call_is_admitted_if_its_batch_goes_on_and_every_cap_has_room(
    of_batch: Tally, of_project: Account | None, asked: Journal, said: Admission
) -> None:
    before = (of_batch.in_flight, of_batch.reserved_nanos)
    assert admit(of_batch, of_project, asked, NOW) is said
    taken = (1, 10) if said is Admission.ADMITTED else (0, 0)
    assert (of_batch.in_flight - before[0], of_batch.reserved_nanos - before[1]) == taken
    if of_project is not None:
        assert of_project.days[NOW.date()].reserved_nanos == taken[1]


def test_with_nothing_in_flight_a_batch_pauses_after_one_round_and_names_the_smallest_refused() -> (
    None
):
    of_batch = tally(cap_nanos=9)
    end = NOW + LAST_ROUND
    assert admit(of_batch, None, wish(10), NOW) is Admission.NO_ROOM_YET
    assert admit(of_batch, None, wish(30), end - timedelta(seconds=1)) is Admission.NO_ROOM_YET
    assert admit(of_batch, None, wish(30), end) is Admission.RESTING
    assert (of_batch.state, of_batch.pause_cause) == (BatchState.PAUSED, PauseCause.BATCH_BUDGET)
    assert of_batch.needed_nanos == 10


def test_a_call_that_fits_starts_the_last_round_anew() -> None:
    of_batch = tally(cap_nanos=20)
    assert admit(of_batch, None, wish(30), NOW) is Admission.NO_ROOM_YET
    assert admit(of_batch, None, wish(10), NOW) is Admission.ADMITTED
    of_batch.reserved_nanos = 0  # it has ended, and cost nothing
    assert admit(of_batch, None, wish(30), NOW + LAST_ROUND) is Admission.NO_ROOM_YET


def test_while_calls_are_in_flight_no_batch_pauses() -> None:
    of_batch = tally(cap_nanos=20, reserved_nanos=15)
    for after in (timedelta(), 10 * LAST_ROUND):
        assert admit(of_batch, None, wish(10), NOW + after) is Admission.NO_ROOM_YET
    assert of_batch.state == BatchState.RUNNING
