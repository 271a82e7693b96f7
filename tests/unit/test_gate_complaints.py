"""What the worker's log says of pools that are held up."""

import pytest

from jobs.errors import (
    AuthenticationFailed,
    ConnectFailed,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from workers.gate.complaints import REPEAT_S, Complaints
from workers.gate.gate import PoolId

MAIN, SPARE = PoolId("sim", "main"), PoolId("sim", "spare")


def test_a_complaint_is_logged_once_a_minute_for_each_pool_and_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = [100.0]
    complaints = Complaints(clock=lambda: now_s[0])
    for seen_s, pool, error in [
        (0.0, MAIN, AuthenticationFailed("HTTP 401: revoked")),
        (1.0, MAIN, AuthenticationFailed("HTTP 401: revoked")),
        (2.0, MAIN, QuotaExhausted("HTTP 429: no credit")),
        (3.0, SPARE, AuthenticationFailed("HTTP 401: unknown")),
        (4.0, MAIN, AuthenticationFailed("HTTP 401: revoked")),
        (REPEAT_S, MAIN, AuthenticationFailed("HTTP 401: still revoked")),
    ]:
        now_s[0] = 100.0 + seen_s
        complaints.note(pool, error)
    assert [record.getMessage() for record in caplog.records] == [
        "pool sim/main is held up by authentication_failed: HTTP 401: revoked",
        "pool sim/main is held up by quota_exhausted: HTTP 429: no credit",
        "pool sim/spare is held up by authentication_failed: HTTP 401: unknown",
        "pool sim/main is held up by authentication_failed: HTTP 401: still revoked",
    ]


@pytest.mark.parametrize("error", [Overloaded("busy"), ConnectFailed("refused")])
def test_an_outage_is_a_complaint(error: ProviderError, caplog: pytest.LogCaptureFixture) -> None:
    Complaints().note(MAIN, error)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "error", [None, RateLimited("slow"), RequestRejected("no"), ServerFailed("oops")]
)
def test_what_is_pace_or_a_single_jobs_matter_is_not_logged(
    error: ProviderError | None, caplog: pytest.LogCaptureFixture
) -> None:
    Complaints().note(MAIN, error)
    assert caplog.records == []


def test_a_pause_is_told_once_whoever_began_it(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    complaints.note(MAIN, Overloaded("HTTP 529: busy"))
    for pool, why in [
        (MAIN, "overloaded: HTTP 529: busy"),  # this process has told it as the error that it was
        (MAIN, "timed_out: no answer in 8 s"),
        (MAIN, "timed_out: no answer in 8 s"),
        (SPARE, "server_failed: HTTP 500: oops"),
        (SPARE, "rate_limited: HTTP 429: slow"),  # a matter of pace
    ]:
        complaints.note_pause(pool, why)
    assert [record.getMessage() for record in caplog.records] == [
        "pool sim/main is held up by overloaded: HTTP 529: busy",
        "pool sim/main is held up by timed_out: no answer in 8 s",
        "pool sim/spare is held up by server_failed: HTTP 500: oops",
    ]
