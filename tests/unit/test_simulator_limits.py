"""The providers' token buckets: what is taken, when, and what a refusal says."""

import pytest

from scripts.simulator.calls import Call, read_call
from scripts.simulator.charging import Charge, charge_after, charge_before
from scripts.simulator.limits import Limit, parse_limit
from scripts.simulator.quotas import Limits, Quota, admit, readings


def a_call(max_tokens: int | None = 500) -> Call:
    return read_call("sim-small", ("x" * 400,), max_tokens, None)


@pytest.mark.parametrize(
    ("protocol", "before", "after"),
    [
        ("openai", Charge(500, 100, 0), Charge(0, 0, 30)),
        ("anthropic", Charge(100, 100, 0), Charge(30, 0, 30)),
        ("gemini", Charge(100, 100, 0), Charge(0, 0, 30)),
        ("mistral", Charge(0, 100, 0), Charge(130, 0, 30)),
    ],
)
def test_each_provider_charges_what_it_documents_when_it_documents(
    protocol: str, before: Charge, after: Charge
) -> None:
    assert charge_before(protocol, a_call()) == before
    assert charge_after(protocol, 100, 30) == after


def test_openai_charges_the_input_where_it_is_more_than_max_tokens() -> None:
    assert charge_before("openai", a_call(max_tokens=20)).tpm == 100
    assert charge_before("openai", a_call(max_tokens=None)).tpm == 100


def admitted(quota: Quota, seconds: list[float]) -> list[bool]:
    return [admit((quota,), Charge(), second) is None for second in seconds]


def test_a_full_bucket_lets_its_burst_pass_and_then_its_rate() -> None:
    quota = Quota(Limit(rpm=60, burst_s=3), now=0.0)
    assert admitted(quota, [0.0] * 4) == [True, True, True, False]
    assert admitted(quota, [1.0, 1.0, 2.0, 2.9]) == [True, False, True, False]


def test_an_empty_bucket_lets_the_first_pass_when_one_is_in() -> None:
    quota = Quota(Limit(rpm=60, start="empty"), now=0.0)
    assert admitted(quota, [0.0, 0.9, 1.0, 1.1]) == [False, False, True, False]


def test_a_second_is_the_longest_burst_of_a_limit_per_second() -> None:
    quota = Quota(Limit(rps=2, burst_s=60), now=0.0)
    assert admitted(quota, [0.0] * 3) == [True, True, False]


@pytest.mark.parametrize("rate", [7, 60, 999, 123_457])
def test_who_waits_as_long_as_told_is_admitted(rate: int) -> None:
    quota = Quota(Limit(rpm=rate, tpm=rate * 77, burst_s=1), now=1e6)
    charge = Charge(tpm=77)
    now = 1e6
    for _ in range(200):
        refusal = admit((quota,), charge, now)
        if refusal is None:
            continue
        assert refusal.wait_s is not None
        now += refusal.wait_s
        assert admit((quota,), charge, now) is None


def test_real_usage_puts_a_bucket_into_debt_that_is_waited_for() -> None:
    quota = Quota(Limit(otpm=600, burst_s=1), now=0.0)
    assert admit((quota,), Charge(), 0.0) is None
    quota.end(Charge(otpm=30), 0.0)
    refusal = admit((quota,), Charge(), 0.0)
    assert refusal is not None
    assert refusal.dimension == "otpm"
    assert refusal.wait_s == pytest.approx(2.0)
    assert admit((quota,), Charge(), 2.0) is None


def test_a_request_above_the_limit_is_refused_without_a_hint_only_by_the_limit_itself() -> None:
    quota = Quota(Limit(tpm=600, burst_s=1), now=0.0)
    assert admit((quota,), Charge(tpm=600), 0.0) is None
    refusal = admit((quota,), Charge(tpm=601), 0.0)
    assert refusal is not None
    assert (refusal.limit, refusal.requested, refusal.wait_s) == (600, 601, None)
    hinted = admit((quota,), Charge(tpm=600), 0.0)
    assert hinted is not None
    assert hinted.wait_s == pytest.approx(60.0)


def test_a_refused_request_takes_nothing_from_any_quota() -> None:
    wide, narrow = Quota(Limit(rpm=10), now=0.0), Quota(Limit(rpm=1), now=0.0)
    assert admit((wide, narrow), Charge(), 0.0) is None
    assert admit((wide, narrow), Charge(), 0.0) is not None
    assert readings((wide,), 0.0)["rpm"].remaining == 9


def test_a_limit_can_keep_its_hint_to_itself() -> None:
    quota = Quota(Limit(rpm=1, hint=False), now=0.0)
    assert admit((quota,), Charge(), 0.0) is None
    refusal = admit((quota,), Charge(), 0.0)
    assert refusal is not None
    assert refusal.wait_s is None


def test_calls_in_flight_are_counted_until_they_end() -> None:
    quota = Quota(Limit(concurrency=2), now=0.0)
    assert admitted(quota, [0.0] * 3) == [True, True, False]
    quota.end(Charge(), 0.0)
    assert admitted(quota, [0.0, 0.0]) == [True, False]


@pytest.mark.parametrize(
    ("per", "same_model", "same_key"),
    [("model", False, True), ("key", True, False), ("pool", True, True)],
)
def test_a_quota_is_shared_by_whom_it_says(per: str, same_model: bool, same_key: bool) -> None:
    limits = Limits([parse_limit(f"openai:rpm=5,per={per}")])
    quota = limits.quotas("openai", "m", "k")
    assert (limits.quotas("openai", "other", "k") == quota) is same_model
    assert (limits.quotas("openai", "m", "other") == quota) is same_key
    assert limits.quotas("gemini", "m", "k") == ()


def test_the_tightest_of_several_quotas_is_what_headers_tell() -> None:
    wide, narrow = Quota(Limit(rpm=100, tpm=50), now=0.0), Quota(Limit(rpm=10), now=0.0)
    found = readings((wide, narrow), 0.0)
    assert {name: reading.limit for name, reading in found.items()} == {"rpm": 10, "tpm": 50}


def test_a_limit_is_read_from_a_word() -> None:
    assert parse_limit("mistral/mini-*:rps=2,tpm=5000,start=empty,hint=false") == Limit(
        protocol="mistral", model="mini-*", rps=2, tpm=5000, start="empty", hint=False
    )
    assert parse_limit(":concurrency=3") == Limit(concurrency=3)


@pytest.mark.parametrize("text", ["openai:rpm", "openai:rpm=many", "openai:rpy=5", ":rpm=0"])
def test_a_limit_that_cannot_be_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match=f"limit '{text}'"):
        parse_limit(text)
