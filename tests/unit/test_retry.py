"""What follows each error, whatever the job has been through: the whole tree, row by row."""

from collections.abc import Iterator

import pytest

from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
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
    ServerFailed,
    TimedOut,
    Transient,
)
from workers.retry import Fail, PausePool, Retry, RetryPolicy, next_step

POLICY = RetryPolicy(max_attempts=5)

PAUSES: dict[type[ProviderError], float] = {
    RateLimited: POLICY.limited_pause_s,
    ConnectFailed: POLICY.unreachable_pause_s,
    Overloaded: POLICY.overload_pause_s,
    ProviderUnusable: POLICY.unusable_pause_s,
    AuthenticationFailed: POLICY.unusable_pause_s,
    AccessForbidden: POLICY.unusable_pause_s,
    QuotaExhausted: POLICY.unusable_pause_s,
}
FAILS = (Permanent, RequestRejected, ContextTooLong)
COUNTS = (ProviderError, Transient, ServerFailed, TimedOut, ConnectionLost, MalformedReply)


def tree(root: type[ProviderError]) -> Iterator[type[ProviderError]]:
    yield root
    for kind in root.__subclasses__():
        yield from tree(kind)


def test_every_error_of_the_tree_is_in_one_of_the_tables() -> None:
    assert sorted(kind.__name__ for kind in tree(ProviderError)) == sorted(
        kind.__name__ for kind in (*PAUSES, *FAILS, *COUNTS)
    )


@pytest.mark.parametrize("counted", [0, 4, 1000])
@pytest.mark.parametrize("kind", PAUSES)
def test_what_no_job_is_to_blame_for_pauses_the_pool_and_never_fails_a_job(
    kind: type[ProviderError], counted: int
) -> None:
    step = next_step(kind(), counted, POLICY)

    assert isinstance(step, PausePool)
    assert not step.counts
    assert PAUSES[kind] / 2 <= step.wait_s <= PAUSES[kind]


@pytest.mark.parametrize("kind", FAILS)
def test_what_will_never_work_fails_at_once(kind: type[ProviderError]) -> None:
    assert next_step(kind(), 0, POLICY) == Fail(kind.code)


@pytest.mark.parametrize("kind", COUNTS)
def test_what_may_work_next_time_counts_until_the_attempts_are_used_up(
    kind: type[ProviderError],
) -> None:
    steps = [next_step(kind(), counted, POLICY) for counted in range(6)]

    assert all(isinstance(step, Retry) and step.counts for step in steps[:4])
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


@pytest.mark.parametrize(
    ("kind", "wish_s", "wait_s"),
    [
        pytest.param(RateLimited, 0.25, 0.25, id="a short wish is granted"),
        pytest.param(RateLimited, 120, 120, id="a long one too"),
        pytest.param(RateLimited, 86_400, 3_600, id="up to an hour for a rate"),
        pytest.param(Overloaded, 86_400, 3_600, id="or an overload"),
        pytest.param(QuotaExhausted, 70_000, 70_000, id="up to a day for a quota"),
        pytest.param(QuotaExhausted, 90_000, 86_400, id="and no longer"),
        pytest.param(ServerFailed, 30, 30, id="a wish before another attempt"),
        pytest.param(ServerFailed, 3_600, 60, id="is bounded like its waits"),
    ],
)
def test_the_servers_wish_holds_within_bounds(
    kind: type[ProviderError], wish_s: float, wait_s: float
) -> None:
    assert wait_of(next_step(kind(wait_s=wish_s), 0, POLICY)) == wait_s


def wait_of(step: Retry | PausePool | Fail) -> float:
    assert not isinstance(step, Fail)
    return step.wait_s
