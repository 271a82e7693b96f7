"""What every end of a call means for its attempt's books and its job's result: the tables."""

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
    CallBrokeDown,
    ConnectFailed,
    ConnectionLost,
    ContextTooLong,
    MalformedReply,
    Overloaded,
    Permanent,
    ProviderError,
    ProviderUnusable,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    SchemaRefused,
    ServerFailed,
    TimedOut,
    Transient,
)
from jobs.exchange import Answer, Finish, Usage
from jobs.kinds.kind import Bad, Good
from jobs.prices import Price, Rates
from jobs.states import COUNTED_OUTCOMES, OUTAGE, USAGE_MISSING, Outcome, ResultStatus
from jobs.store.attempts.reports import Journal
from jobs.store.leases.leases import Lease
from workers.job.conclusions import (
    MESSAGE_CHARACTERS,
    failure,
    of_answer,
    of_error,
    outcome_of,
    storable,
)
from workers.job.dialogue import Over
from workers.job.next_step import AskAgain, RetryPolicy, is_doubtful, next_step

LEASE = Lease(
    batch_id=1,
    batch_ref="bat_1",
    project_id=1,
    priority="normal",
    defaults="{}",
    slice_no=0,
    queue="sim",
    fence=1,
)
PRICE = Price(((0, Rates(input=100_000_000, cached_input=0, cache_write=0, output=400_000_000)),))
"""A tenth of a dollar and forty cents per million tokens."""

RESERVED_NANOS = 9_000
USAGE = Usage(input_tokens=10, output_tokens=20)
COST_NANOS = 10 * 100 + 20 * 400

GOOD = Good("High water.")


def journal(price: Price | None = PRICE) -> Journal:
    return Journal(
        lease=LEASE,
        seq=0,
        n=1,
        provider="sim",
        pool="main",
        model="sim-small",
        price=None if price is None else price.to_json(),
        reserved_nanos=RESERVED_NANOS if price else 0,
    )


def answer(text: str = "Something.", **fields: Any) -> Answer:
    return Answer(**{"text": text, "finish": Finish.COMPLETE, "usage": USAGE, **fields})


OUTCOMES: dict[type[ProviderError], Outcome] = {
    ConnectFailed: Outcome.UNSENT,
    RateLimited: Outcome.LIMITED,
    Overloaded: Outcome.LIMITED,
    ProviderUnusable: Outcome.LIMITED,
    AuthenticationFailed: Outcome.LIMITED,
    AccessForbidden: Outcome.LIMITED,
    QuotaExhausted: Outcome.LIMITED,
    Permanent: Outcome.REJECTED,
    RequestRejected: Outcome.REJECTED,
    SchemaRefused: Outcome.REJECTED,
    ContextTooLong: Outcome.REJECTED,
    TimedOut: Outcome.UNKNOWN,
    ConnectionLost: Outcome.UNKNOWN,
    MalformedReply: Outcome.UNKNOWN,
    CallBrokeDown: Outcome.UNKNOWN,
    ServerFailed: Outcome.FAILED,
    Transient: Outcome.FAILED,
    ProviderError: Outcome.FAILED,
}


def tree(root: type[ProviderError]) -> Iterator[type[ProviderError]]:
    yield root
    for kind in root.__subclasses__():
        yield from tree(kind)


def test_every_error_of_the_tree_is_in_the_table() -> None:
    assert set(tree(ProviderError)) == set(OUTCOMES)


@pytest.mark.parametrize("kind", OUTCOMES)
def test_each_error_has_its_outcome(kind: type[ProviderError]) -> None:
    assert outcome_of(kind()) is OUTCOMES[kind]


@pytest.mark.parametrize("kind", OUTCOMES)
def test_only_what_may_have_run_is_unknown(kind: type[ProviderError]) -> None:
    assert (outcome_of(kind()) is Outcome.UNKNOWN) == kind.may_have_run


@pytest.mark.parametrize("kind", OUTCOMES)
def test_what_pauses_a_pool_counts_as_no_attempt_after_a_restart_either(
    kind: type[ProviderError],
) -> None:
    """The policy counts in memory what the outcome makes the database count."""
    step = next_step(kind(), 0, RetryPolicy())
    assert (OUTCOMES[kind] in COUNTED_OUTCOMES) == (not isinstance(step, AskAgain))


@pytest.mark.parametrize("kind", [kind for kind in OUTCOMES if is_doubtful(kind())])
def test_what_the_pools_trouble_cut_off_counts_as_no_attempt_and_is_charged_if_it_may_have_run(
    kind: type[ProviderError],
) -> None:
    made = of_error(journal(), kind(), 12, counts=False)
    assert made.outcome not in COUNTED_OUTCOMES or made.error_code == OUTAGE
    assert (made.outcome is Outcome.UNKNOWN) == kind.may_have_run
    assert (made.cost_nanos is not None) == kind.may_have_run


@pytest.mark.parametrize("kind", OUTCOMES)
def test_only_an_unknown_attempt_costs_and_that_its_worst_case(kind: type[ProviderError]) -> None:
    made = of_error(journal(), kind(), 12, is_final=False)
    assert made.cost_nanos == (RESERVED_NANOS if kind.may_have_run else None)
    assert made.usage is None
    assert made.latency_ms == 12
    assert made.error_code == kind.code


def test_an_unknown_attempt_at_an_unknown_price_costs_nobody_knows_what() -> None:
    assert of_error(journal(None), TimedOut(), 1, is_final=False).cost_nanos is None


@pytest.mark.parametrize("kind", OUTCOMES)
def test_an_error_is_the_jobs_result_only_if_it_is_final(kind: type[ProviderError]) -> None:
    error = kind("the provider said so")
    assert of_error(journal(), error, 1, is_final=False).result is None
    result = of_error(journal(), error, 1, is_final=True).result
    assert result is not None
    assert result.status is ResultStatus.FAILED
    assert (result.error_code, result.error_message) == (kind.code, "the provider said so")
    assert result.output is None


@pytest.mark.parametrize(
    ("price", "usage", "cost_nanos"),
    [
        (PRICE, USAGE, COST_NANOS),
        (PRICE, Usage(), 0),
        (PRICE, None, RESERVED_NANOS),
        (None, USAGE, None),
        (None, None, None),
    ],
)
def test_an_answer_costs_its_usage_or_without_one_what_was_reserved(
    price: Price | None, usage: Usage | None, cost_nanos: int | None
) -> None:
    made = of_answer(journal(price), answer(usage=usage), price, Over(GOOD), 12)
    assert made.outcome is Outcome.SUCCEEDED
    assert made.cost_nanos == cost_nanos
    assert made.usage == usage
    assert made.error_code == (USAGE_MISSING if usage is None else None)


def test_a_good_answer_is_the_result() -> None:
    made = of_answer(journal(), answer(), PRICE, Over(Good("naïve “🌊”")), 12)
    assert made.result is not None
    assert made.result.status is ResultStatus.SUCCEEDED
    assert made.result.output == '"naïve “🌊”"'
    assert made.result.finish_reason == "complete"
    assert made.error_code is None


def test_a_json_answer_is_the_value_and_not_its_text() -> None:
    made = of_answer(journal(), answer(), PRICE, Over(Good({"hour": 9})), 12)
    assert made.result is not None
    assert made.result.output == '{"hour":9}'


def test_a_bad_answer_fails_the_job_but_was_paid_for_and_is_shown() -> None:
    refused = answer("I'd rather not.", finish=Finish.REFUSED)
    made = of_answer(journal(), refused, PRICE, Over(Bad("refused", "no\0")), 12)
    assert made.outcome is Outcome.SUCCEEDED
    assert made.cost_nanos == COST_NANOS
    assert made.error_code == "refused"
    assert made.result is not None
    assert made.result.status is ResultStatus.FAILED
    assert made.result.output == '"I\'d rather not."'
    assert (made.result.error_code, made.result.error_message) == ("refused", "no\ufffd")


@pytest.mark.parametrize(
    ("message", "stored"),
    [
        ("plain", "plain"),
        ("a\0b", "a\ufffdb"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("🌊" * 600, "🌊" * MESSAGE_CHARACTERS),
    ],
)
def test_a_message_is_stored_as_both_databases_can(message: str, stored: str) -> None:
    assert storable(message) == stored
    assert storable(message).encode()
    assert failure("code", message).error_message == stored
