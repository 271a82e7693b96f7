"""Rate headers: every provider's names and forms, the values that no one can mean, and clocks."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.configuration import ProtocolName, Provider
from workers.gate.gate import Reading
from workers.protocols import Protocol, protocol_of
from workers.protocols.readings import ANTHROPIC, MISTRAL, OPENAI

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)

PROTOCOLS = {
    name: protocol_of(Provider(protocol=name, base_url="http://localhost/v1"))
    for name in ProtocolName
}
ORDINARY = {
    "date": "Mon, 23 Nov 2026 12:00:00 GMT",
    "content-type": "application/json",
    "server": "cloudflare",
    "retry-after": "3",
}


def openai(headers: dict[str, str]) -> tuple[Reading, ...]:
    return OPENAI.read(headers, NOW)


def test_openai_tells_requests_tokens_and_the_projects_tokens() -> None:
    headers = ORDINARY | {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-limit-project-tokens": "90000",
        "x-ratelimit-remaining-project-tokens": "0",
        "x-ratelimit-reset-project-tokens": "20ms",
    }

    assert openai(headers) == (
        Reading("requests", 60, 59, 1.0),
        Reading("tokens", 150_000, 149_984, 360.0),
        Reading("project_tokens", 90_000, 0, 0.02),
    )


def test_groqs_requests_are_by_the_day_which_its_names_do_not_tell() -> None:
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-reset-requests": "2m52.8s",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-tokens": "500ms",
    }

    assert openai(headers) == (
        Reading("requests", 14_400, 14_370, 172.8, None),
        Reading("tokens", 18_000, 17_997, 0.5, None),
    )


def test_cerebras_names_the_period_and_counts_bare_seconds() -> None:
    headers = {
        "x-ratelimit-limit-requests-day": "14400",
        "x-ratelimit-remaining-requests-day": "14399",
        "x-ratelimit-reset-requests-day": "33011.382867",
        "x-ratelimit-limit-tokens-minute": "60000",
        "x-ratelimit-remaining-tokens-minute": "59990",
        "x-ratelimit-reset-tokens-minute": "11.5",
        "x-ratelimit-limit-requests-hour": "900",
    }

    assert openai(headers) == (
        Reading("requests", 14_400, 14_399, 33011.382867, 86_400.0),
        Reading("tokens", 60_000, 59_990, 11.5, 60.0),
        Reading("requests", 900, None, None, 3600.0),
    )


def test_anthropic_tells_four_limits_with_times_of_day() -> None:
    headers = ORDINARY | {
        f"anthropic-ratelimit-{name}-{field}": value
        for name, values in {
            "requests": ("1000", "999", "2026-11-23T12:00:01Z"),
            "tokens": ("2400000", "2400000", "2026-11-23T12:00:00Z"),
            "input-tokens": ("2000000", "1500000", "2026-11-23T12:00:15Z"),
            "output-tokens": ("400000", "200000", "2026-11-23T13:00:30.5+01:00"),
        }.items()
        for field, value in zip(("limit", "remaining", "reset"), values, strict=True)
    }

    assert ANTHROPIC.read(headers, NOW) == (
        Reading("requests", 1000, 999, 1.0),
        Reading("tokens", 2_400_000, 2_400_000, 0.0),
        Reading("input_tokens", 2_000_000, 1_500_000, 15.0),
        Reading("output_tokens", 400_000, 200_000, 30.5),
    )


def test_the_limits_of_other_tiers_are_not_ours() -> None:
    headers = {
        "anthropic-priority-input-tokens-limit": "10",
        "anthropic-fast-output-tokens-limit": "10",
        "x-ratelimitbysize-limit-month": "10000000000",
        "x-ratelimit-tokens-query-cost": "17",
    }

    assert ANTHROPIC.read(headers, NOW) == ()
    assert MISTRAL.read(headers, NOW) == ()


def test_mistral_tells_no_reset() -> None:
    headers = ORDINARY | {
        "x-ratelimit-limit-req-minute": "188",
        "x-ratelimit-remaining-req-minute": "187",
        "x-ratelimit-limit-tokens-minute": "625000",
        "x-ratelimit-remaining-tokens-minute": "624800",
    }

    assert MISTRAL.read(headers, NOW) == (
        Reading("requests", 188, 187, None, 60.0),
        Reading("tokens", 625_000, 624_800, None, 60.0),
    )


def test_mistrals_older_models_tell_tokens_only() -> None:
    headers = {
        "ratelimitbysize-limit": "2000000",
        "ratelimitbysize-remaining": "1999987",
        "ratelimitbysize-reset": "41",
        "x-ratelimitbysize-limit-minute": "2000000",
        "x-ratelimitbysize-remaining-minute": "1999987",
    }

    assert MISTRAL.read(headers, NOW) == (Reading("tokens", 2_000_000, 1_999_987, 41.0, 60.0),)


@pytest.mark.parametrize("forwarded_first", [False, True])
def test_a_proxys_own_word_goes_before_what_it_passes_on(forwarded_first: bool) -> None:
    own = {"x-ratelimit-remaining-requests": "7", "x-ratelimit-remaining-tokens": "soon"}
    forwarded = {
        "llm_provider-x-ratelimit-limit-requests": "100",
        "llm_provider-x-ratelimit-remaining-requests": "70",
        "llm_provider-x-ratelimit-reset-requests": "6s",
        "llm_provider-x-ratelimit-remaining-tokens": "5000",
    }

    found = openai(forwarded | own if forwarded_first else own | forwarded)

    assert set(found) == {
        Reading("requests", 100, 7, 6.0),
        Reading("tokens", None, 5000, None),
    }


def test_a_proxy_passes_on_the_names_of_every_provider_and_has_some_of_its_own() -> None:
    headers = {
        "llm_provider-anthropic-ratelimit-output-tokens-limit": "80000",
        "llm_provider-anthropic-ratelimit-output-tokens-reset": "2026-11-23T12:00:09Z",
        "llm_provider-x-ratelimit-limit-req-minute": "188",
        "x-litellm-key-tpm-limit": "9000",
        "x-litellm-key-rpm-limit": "None",
    }

    assert openai(headers) == (
        Reading("output_tokens", 80_000, None, 9.0),
        Reading("requests", 188, None, None, 60.0),
        Reading("tokens", 9000, None, None, 60.0),
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("-1", id="negative"),
        pytest.param("NaN", id="NaN"),
        pytest.param("inf", id="infinite"),
        pytest.param("None", id="a word"),
        pytest.param("1e3", id="exponent"),
        pytest.param("1_000", id="underscore"),
        pytest.param("1,000", id="comma"),
        pytest.param("１２", id="digits of another script"),
        pytest.param("²", id="a digit that is no number"),
        pytest.param("60, 60;w=1", id="a policy"),
        pytest.param("1000000000001", id="more than 10^12"),
        pytest.param("9" * 5000, id="digits without end"),
    ],
)
def test_what_is_no_count_is_left_out(text: str) -> None:
    alone = {"x-ratelimit-limit-tokens": text, "x-ratelimit-reset-tokens": "6s"}

    assert openai(alone) == ()
    assert openai(alone | {"x-ratelimit-remaining-tokens": "10"}) == (
        Reading("tokens", None, 10, 6.0),
    )
    assert openai({"x-ratelimit-limit-tokens": "10", "x-ratelimit-remaining-tokens": text}) == (
        Reading("tokens", 10, None, None),
    )


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [
        pytest.param("1000000000000", "5", (10**12, 5), id="the largest"),
        pytest.param(" 60 ", "59.0", (60, 59), id="blanks and a fraction"),
        pytest.param("80500", "81000", (80_500, 80_500), id="rounded up beyond the limit"),
        pytest.param("60", "0", (60, 0), id="nothing left"),
    ],
)
def test_odd_counts_that_can_be_true_are_believed(
    limit: str, remaining: str, expected: tuple[int, int]
) -> None:
    (found,) = openai(
        {"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": remaining}
    )

    assert (found.limit, found.remaining) == expected


def test_a_limit_of_zero_is_no_limit() -> None:
    assert openai({"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "0"}) == ()


@pytest.mark.parametrize(
    ("text", "reset_s"),
    [
        pytest.param("0s", 0.0, id="full already"),
        pytest.param("1d", 86_400.0, id="a day"),
        pytest.param("-1s", None, id="negative"),
        pytest.param("soon", None, id="a word"),
        pytest.param("", None, id="empty"),
        pytest.param("nan", None, id="NaN"),
        pytest.param("1764000000", None, id="seconds since 1970"),
        pytest.param("1764000000000", None, id="milliseconds since 1970"),
        pytest.param("2026-11-23T12:00:20Z", 20.0, id="a time"),
        pytest.param("2026-11-23T12:00:20", 20.0, id="a time without a zone"),
        pytest.param("2026-11-23T11:59:58Z", 0.0, id="just passed"),
        pytest.param("2026-11-23T11:50:00Z", None, id="long passed"),
        pytest.param("1970-01-01T00:00:00Z", None, id="no time at all"),
        pytest.param("9999-12-31T23:59:59-23:59", None, id="the last of all times"),
        pytest.param("0001-01-01T00:00:00+23:59", None, id="the first of all times"),
        pytest.param("2026-13-23T12:00:20Z", None, id="no such month"),
        pytest.param("2026-\ud800", None, id="half of a pair"),
    ],
)
def test_a_reset_is_a_duration_or_a_time_or_unknown(text: str, reset_s: float | None) -> None:
    (found,) = openai({"x-ratelimit-limit-requests": "60", "x-ratelimit-reset-requests": text})

    assert found == Reading("requests", 60, None, reset_s)


@pytest.mark.parametrize(
    ("skew", "reset_s"),
    [
        pytest.param(timedelta(0), 15.0, id="in step"),
        pytest.param(timedelta(seconds=1.5), 13.5, id="as far as seconds tell"),
        pytest.param(timedelta(hours=-3), 15.0, id="ours is slow"),
        pytest.param(timedelta(days=400), 15.0, id="ours is from next year"),
    ],
)
def test_a_wrong_clock_of_ours_does_not_move_a_reset(skew: timedelta, reset_s: float) -> None:
    headers = ORDINARY | {
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-requests-reset": "2026-11-23T12:00:15Z",
    }

    (found,) = ANTHROPIC.read(headers, (NOW + skew).astimezone(timezone(timedelta(hours=-8))))

    assert found.reset_s == reset_s


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Nov 2026 12:00:30 GMT", "\ud800"])
def test_without_a_date_the_clock_is_ours(date: str) -> None:
    headers = {
        "date": date,
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-requests-reset": "2026-11-23T12:00:15Z",
    }

    (found,) = ANTHROPIC.read(headers, NOW)

    assert found.reset_s == 15.0


@pytest.mark.parametrize(
    ("name", "headers", "dimensions"),
    [
        (ProtocolName.OPENAI, {"x-ratelimit-limit-requests": "6"}, {"requests"}),
        (ProtocolName.ANTHROPIC, {"anthropic-ratelimit-tokens-limit": "6"}, {"tokens"}),
        (ProtocolName.MISTRAL, {"x-ratelimit-limit-req-minute": "6"}, {"requests"}),
        (ProtocolName.GEMINI, {"x-ratelimit-limit-requests": "6"}, set()),
        (ProtocolName.ANTHROPIC, {"x-ratelimit-limit-requests": "6"}, set()),
    ],
)
def test_every_protocol_reads_its_own_names(
    name: ProtocolName, headers: dict[str, str], dimensions: set[str]
) -> None:
    found = PROTOCOLS[name].readings(ORDINARY | headers, NOW)

    assert {reading.dimension for reading in found} == dimensions


NAMES = st.builds(
    lambda prefix, name: prefix + name,
    st.sampled_from(["", "", "llm_provider-"]),
    st.sampled_from(
        [
            "date",
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
            "x-ratelimit-limit-tokens-minute",
            "x-ratelimit-remaining-tokens-minute",
            "x-ratelimit-reset-tokens-minute",
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
            "ratelimitbysize-limit",
            "ratelimitbysize-reset",
        ]
    ),
)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
TEXTS = (
    st.text(max_size=30)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.datetimes(timezones=ZONES | st.none()).map(datetime.isoformat)
    | st.from_regex(r"\A([0-9]{1,12}d)?([0-9]{1,12}m)?[0-9.]{1,20}(s|ms)\Z")
    | st.from_regex(r"\A[0-9]{1,6}-[0-9T:.+Z-]{0,40}\Z")
    | st.from_regex(
        r"\A[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{0,9} [-+A-Z0-9]*\Z"
    )
)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
@settings(max_examples=100)
@given(
    headers=st.dictionaries(NAMES | st.text(max_size=10), TEXTS, max_size=12),
    now=st.datetimes(timezones=ZONES),
)
def test_any_headers_give_readings_that_can_be_true(
    protocol: Protocol, headers: dict[str, str], now: datetime
) -> None:
    found = protocol.readings(headers, now)

    assert len({(reading.dimension, reading.period_s) for reading in found}) == len(found)
    for reading in found:
        assert_credible(reading)


def assert_credible(reading: Reading) -> None:
    assert type(reading.limit) in {int, type(None)}
    assert type(reading.remaining) in {int, type(None)}
    assert (reading.limit, reading.remaining) != (None, None)
    assert reading.limit is None or 0 < reading.limit <= 10**12
    assert reading.remaining is None or 0 <= reading.remaining <= (reading.limit or 10**12)
    assert reading.reset_s is None or 0 <= reading.reset_s <= 31 * 86_400


@settings(max_examples=50)
@given(headers=st.dictionaries(NAMES, TEXTS, max_size=12))
def test_the_order_of_the_headers_does_not_matter(headers: dict[str, str]) -> None:
    distinct = {name: text for name, text in headers.items() if "bysize" not in name}

    assert set(openai(distinct)) == set(openai(dict(reversed(distinct.items()))))
