"""What follows each error, whatever the job has been through: the whole tree, row by row."""

from collections.abc import Iterator

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
from workers.job.next_step import AskAgain, Fail, Retry, RetryPolicy, Step, is_doubtful, next_step

POLICY = RetryPolicy(max_attempts=5)

ASKS_AGAIN = (
    RateLimited,
    ConnectFailed,
    Overloaded,
    ProviderUnusable,
    AuthenticationFailed,
    AccessForbidden,
    QuotaExhausted,
)
FAILS = (Permanent, RequestRejected, ContextTooLong)
ASKS_OTHERWISE = (SchemaRefused,)
COUNTS = (
    ProviderError,
    Transient,
    ServerFailed,
    TimedOut,
    ConnectionLost,
    MalformedReply,
    CallBrokeDown,
)


def tree(root: type[ProviderError]) -> Iterator[type[ProviderError]]:
    yield root
    for kind in root.__subclasses__():
        yield from tree(kind)


def test_every_error_of_the_tree_is_in_one_of_the_tables() -> None:
    assert sorted(kind.__name__ for kind in tree(ProviderError)) == sorted(
        kind.__name__ for kind in (*ASKS_AGAIN, *FAILS, *ASKS_OTHERWISE, *COUNTS)
    )


@pytest.mark.parametrize("is_blameless", [False, True])
@pytest.mark.parametrize("counted", [0, 4, 1000])
@pytest.mark.parametrize("kind", ASKS_AGAIN)
def test_what_no_job_is_to_blame_for_is_the_gates_matter_and_never_fails_a_job(
    kind: type[ProviderError], counted: int, is_blameless: bool
) -> None:
    assert next_step(kind(), counted, POLICY, is_blameless=is_blameless) == AskAgain()


@pytest.mark.parametrize("counted", [0, 4, 1000])
@pytest.mark.parametrize("kind", COUNTS)
def test_a_failure_that_is_the_pools_own_uses_up_no_attempt(
    kind: type[ProviderError], counted: int
) -> None:
    assert next_step(kind(), counted, POLICY, is_blameless=True) == AskAgain()


@pytest.mark.parametrize("counted", [0, 4, 1000])
@pytest.mark.parametrize("kind", FAILS)
def test_what_will_never_work_fails_in_a_pool_in_trouble_too(
    kind: type[ProviderError], counted: int
) -> None:
    assert next_step(kind(), counted, POLICY, is_blameless=True) == Fail(kind.code)


@pytest.mark.parametrize("kind", [*ASKS_AGAIN, *FAILS, *ASKS_OTHERWISE, *COUNTS])
def test_only_what_an_attempt_is_counted_for_is_doubtful(kind: type[ProviderError]) -> None:
    assert is_doubtful(kind()) == (kind in COUNTS)


@pytest.mark.parametrize("kind", FAILS)
def test_what_will_never_work_fails_at_once(kind: type[ProviderError]) -> None:
    assert next_step(kind(), 0, POLICY) == Fail(kind.code)


@pytest.mark.parametrize("is_blameless", [False, True])
def test_a_schema_that_was_refused_is_asked_for_otherwise_at_once(is_blameless: bool) -> None:
    steps = [
        next_step(SchemaRefused(), counted, POLICY, is_blameless=is_blameless)
        for counted in range(6)
    ]

    assert steps == [Retry(0.0)] * 4 + [Fail("request_rejected")] * 2


@pytest.mark.parametrize("kind", COUNTS)
def test_what_may_work_next_time_counts_until_the_attempts_are_used_up(
    kind: type[ProviderError],
) -> None:
    steps = [next_step(kind(), counted, POLICY) for counted in range(6)]

    assert all(isinstance(step, Retry) for step in steps[:4])
    assert steps[4:] == [Fail(kind.code), Fail(kind.code)]


def test_one_attempt_means_no_second_one() -> None:
    assert next_step(TimedOut(), 0, RetryPolicy(max_attempts=1)) == Fail("timed_out")


@pytest.mark.parametrize(
    ("counted", "ceiling_s"), [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (500, 60)]
)
def test_waits_are_drawn_from_zero_to_a_ceiling_that_doubles(
    counted: int, ceiling_s: float
) -> None:
    policy = RetryPolicy(max_attempts=1_000)

    waits = [wait_of(next_step(ServerFailed(), counted, policy)) for _ in range(400)]

    assert 0 <= min(waits) < ceiling_s / 4
    assert ceiling_s * 3 / 4 < max(waits) <= ceiling_s


@pytest.mark.parametrize(("wish_s", "wait_s"), [(30, 30), (3_600, 60)])
def test_the_servers_wish_before_another_attempt_holds_within_the_bounds_of_its_waits(
    wish_s: float, wait_s: float
) -> None:
    assert wait_of(next_step(ServerFailed(wait_s=wish_s), 0, POLICY)) == wait_s


def wait_of(step: Step) -> float:
    assert isinstance(step, Retry)
    return step.wait_s
