"""What is read of a submission that is only quoted, and whether a budget will do for it."""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.errors import EmptySubmission, TooManyJobs
from jobs.lines import LineReader
from jobs.prices import PriceBook
from jobs.quote import Insistence, Quoting, Ratings, Sufficiency, Sums, Tally, sufficiency_of
from jobs.quote.kept import Answered, nothing_answered
from jobs.quote.tally import Range
from jobs.quote.tallying import LISTED, OTHERS
from jobs.routing import Catalogue, Target
from tests.support.system import lines, ndjson

AT = datetime(2026, 11, 1, tzinfo=UTC)

CONFIGURATION = Configuration.model_validate(
    {
        "providers": {
            "near": {"protocol": "openai", "base_url": "http://near", "models": ["sim-*"]},
            "far": {"protocol": "openai", "base_url": "http://far"},
        },
        "routes": {
            "spread": {"targets": ["near/sim-a", "far/sim-a"], "weights": [3, 1]},
            "steps": {"targets": ["near/sim-a", "far/sim-z"]},
        },
        "prices": {
            "near/sim-a": {"input": "1", "output": "4"},
            "far/sim-a": {"input": "1", "output": "4"},
        },
    }
)

Quote = Callable[..., Sums]


@pytest.fixture
def quote() -> Quote:
    """Return the sums over some lines."""

    def quote(body: bytes, answered: Answered = nothing_answered, **given: Any) -> Sums:
        defaults = JobDefaults.from_query(given)
        reader = LineReader(defaults, Catalogue(CONFIGURATION), sizes_calls=True)
        ratings = Ratings(CONFIGURATION, PriceBook(CONFIGURATION), AT)
        quoting = Quoting(
            reader, Insistence.of(defaults), ratings, max_jobs=1000, answered=answered
        )
        with closing(quoting):
            quoting.take(body)
            return quoting.finish()

    return quote


def named(sums: Sums) -> dict[tuple[str, str], int]:
    return {
        (tally.model, f"{tally.target.provider}/{tally.target.model}"): tally.jobs
        for tally in sums.tallies
    }


def test_jobs_are_summed_by_the_model_that_they_name_and_whom_they_go_to(quote: Quote) -> None:
    sums = quote(ndjson([*lines(300, "spread", "s"), *lines(5, "sim-a", "a")]))
    found = named(sums)
    assert found.keys() == {
        ("spread", "near/sim-a"),
        ("spread", "far/sim-a"),
        ("sim-a", "near/sim-a"),
    }
    assert 220 <= found["spread", "near/sim-a"] <= 230
    assert sum(found.values()) == sums.jobs == 305


def test_several_samples_are_several_calls(quote: Quote) -> None:
    (tally,) = quote(ndjson(lines(10, "sim-a", n=3, max_tokens=7))).tallies
    assert (tally.jobs, tally.calls) == (10, 30)
    assert tally.output_tokens == Range(30, 210)


def test_of_many_models_the_rest_is_one_entry_that_costs_what_they_cost(quote: Quote) -> None:
    """Whose prices differ: the last is the one that has one."""
    body = ndjson(line for n in range(LISTED + 5) for line in lines(1, f"sim-x{n}", f"x{n}"))
    sums = quote(body + ndjson(lines(2, "sim-a", "a")))
    assert len(sums.tallies) == LISTED + 1
    others = sums.tallies[-1]
    assert (others.model, others.target, others.jobs) == (OTHERS, Target("near", OTHERS), 7)
    assert others.unpriced_jobs == 5
    (alone,) = quote(ndjson(lines(2, "sim-a", "a"))).tallies
    assert others.cost_nanos == alone.cost_nanos
    assert len(sums.unpriced) == LISTED


def test_the_worst_is_not_known_where_a_later_target_has_no_price(quote: Quote) -> None:
    sums = quote(ndjson(lines(3, "steps")))
    (tally,) = sums.tallies
    assert (tally.unpriced_jobs, tally.unbounded_jobs) == (0, 3)
    assert (tally.cost_nanos.high > 0, tally.worst_nanos) == (True, 0)
    assert sums.unpriced == ("far/sim-z",)


def test_jobs_of_which_an_answer_is_kept_are_not_called_for(quote: Quote) -> None:
    def first_two(fingerprints: Sequence[bytes]) -> Collection[bytes]:
        return fingerprints[:2]

    # The third asks for the same as the first, the fourth for variety.
    body = ndjson([*lines(2, "sim-a"), {**next(lines(1, "sim-a")), "custom_id": "third"}])
    body += ndjson(lines(1, "sim-a", "fourth", temperature=1.0))
    sums = quote(body, first_two)
    assert (sums.jobs, sums.reused_jobs, sums.collapsed_jobs) == (4, 2, 1)
    assert sum(tally.jobs for tally in sums.tallies) == 1


def test_a_line_with_the_id_of_an_earlier_one_is_bad_and_counts_nowhere(quote: Quote) -> None:
    sums = quote(ndjson([*lines(3, "sim-a"), *lines(2, "sim-a", temperature=0.5)]))
    assert sums.jobs == 3
    assert [(fault.line, fault.code) for fault in sums.faults] == [
        (4, "duplicate_custom_id"),
        (5, "duplicate_custom_id"),
    ]


def test_bad_lines_alone_are_a_quote_and_nothing_is_none(quote: Quote) -> None:
    sums = quote(b"{}\nno\n")
    assert (sums.jobs, sums.tallies, sums.fault_count) == (0, (), 2)
    with pytest.raises(EmptySubmission):
        quote(b"\n\n")


def test_there_is_an_end_to_what_is_read(quote: Quote) -> None:
    with pytest.raises(TooManyJobs):
        quote(ndjson(lines(1001, "sim-a")))


def costing(low: int, high: int, worst: int) -> Tally:
    return Tally("m", Target("p", "m"), jobs=1, cost_nanos=Range(low, high), worst_nanos=worst)


@pytest.mark.parametrize(
    ("max_cost_nanos", "expected"),
    [
        (None, None),
        (19, Sufficiency.NO),
        (20, Sufficiency.PERHAPS),
        (199, Sufficiency.PERHAPS),
        (200, Sufficiency.PROBABLY),
        (1999, Sufficiency.PROBABLY),
        (2000, Sufficiency.SURELY),
    ],
)
def test_how_sure_it_is_that_a_budget_lasts(
    max_cost_nanos: int | None, expected: Sufficiency | None
) -> None:
    tallies = [costing(10, 100, 1000), costing(10, 100, 1000)]
    assert sufficiency_of(tallies, max_cost_nanos, None) is expected


def test_a_budget_below_the_cheapest_call_is_none() -> None:
    assert sufficiency_of([costing(10, 100, 1000)], 500, 501) is Sufficiency.NO


def test_without_all_prices_nothing_is_sure() -> None:
    unpriced = replace(costing(10, 100, 1000), unpriced_jobs=1)
    assert sufficiency_of([unpriced], 5000, None) is None
    unbounded = replace(costing(10, 100, 1000), unbounded_jobs=1)
    assert sufficiency_of([unbounded], 5000, None) is Sufficiency.PROBABLY
