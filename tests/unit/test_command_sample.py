"""Picking a sample, reading what it tells, and showing it."""

import gzip
import io
import json
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.command.job_lines import as_upload, job_lines, spread
from scripts.command.quote import between, tell_quote
from scripts.command.render import about
from scripts.command.sample_quote import (
    CONFIDENCE,
    FEWEST,
    LEAST_DOUBT,
    interval,
    refine,
    student_t,
)
from scripts.command.sample_tables import LONGEST_INPUT, words_of
from tidemill.upload import Upload, describe

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

JOBS = [b'{"custom_id":"a"}', b'{"custom_id":"b","prompt":"two\\nlines"}', b'{"custom_id":"c"}']
LINES = b"\xef\xbb\xbf" + JOBS[0] + b"\r\n\n  \n" + JOBS[1] + b"\n" + JOBS[2]
DOCUMENT = b'{"jobs": [' + b", ".join(JOBS) + b"]}"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("jobs.jsonl", LINES),
        ("jobs.jsonl.gz", gzip.compress(LINES[:30]) + gzip.compress(LINES[30:])),
        ("jobs.jsonl.zst", zstd.compress(LINES)),
        ("jobs.json", DOCUMENT),
        ("jobs.json.gz", gzip.compress(DOCUMENT)),
    ],
    # A packed body has the time in it, and the processes of a run must give tests the same names.
    ids=["jsonl", "jsonl.gz", "jsonl.zst", "json", "json.gz"],
)
@pytest.mark.parametrize("block_bytes", [1, 7, 10_000])
def test_the_jobs_of_a_file_are_the_same_however_it_is_packed(
    name: str, body: bytes, block_bytes: int
) -> None:
    blocks = [body[at : at + block_bytes] for at in range(0, len(body), block_bytes)]
    upload = Upload(lambda: iter(blocks), describe(name), len(body))
    assert list(job_lines(upload)) == JOBS


def test_the_jobs_of_a_document_that_is_laid_out_are_lines() -> None:
    body = json.dumps({"jobs": [json.loads(job) for job in JOBS]}, indent=2).encode()
    picked = list(job_lines(Upload(lambda: iter([body]), describe("jobs.json"), len(body))))
    assert [json.loads(job) for job in picked] == [json.loads(job) for job in JOBS]
    assert list(job_lines(as_upload(picked))) == picked


def test_what_is_sent_again_is_what_was_picked() -> None:
    assert list(job_lines(as_upload(JOBS))) == JOBS


@given(total=st.integers(1, 500), wanted=st.integers(1, 500))
def test_a_sample_is_spread_evenly(total: int, wanted: int) -> None:
    wanted = min(wanted, total)
    picked = [int(job) for job in spread((b"%d" % n for n in range(total)), total, wanted)]
    assert len(picked) == wanted
    each = total / wanted
    for part, place in enumerate(picked):
        assert part * each - 1 < place < (part + 1) * each


def test_a_sample_of_three_of_nine_is_from_the_middle_of_each_third() -> None:
    assert spread([b"%d" % n for n in range(9)], 9, 3) == [b"1", b"4", b"7"]


@pytest.mark.parametrize(("degrees", "table"), [(4, 4.604), (9, 3.250), (19, 2.861), (99, 2.626)])
def test_the_quantiles_are_those_of_the_tables(degrees: int, table: float) -> None:
    assert CONFIDENCE == 0.99
    assert student_t(degrees) == pytest.approx(table, rel=0.013)


def test_the_interval_is_students_t_narrowed_by_what_was_seen() -> None:
    """Mean 3, deviation sqrt(2.5), five of a hundred seen."""
    found = interval([1, 2, 3, 4, 5], 100)
    assert found is not None
    doubt = student_t(4) * (2.5 / 5) ** 0.5 * 0.95**0.5
    assert (found.low, found.high) == pytest.approx((100 * max(0, 3 - doubt), 100 * (3 + doubt)))


def test_a_sample_whose_jobs_are_alike_leaves_a_little_doubt() -> None:
    found = interval([10.0] * 5, 1000)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(
        (10_000 * (1 - LEAST_DOUBT), 10_000 * (1 + LEAST_DOUBT))
    )


def test_too_few_tell_nothing() -> None:
    assert interval([1.0] * (FEWEST - 1), 1000) is None


def coverage(draw: Callable[[Random], float], size: int) -> float:
    """In which share of 500 files of 1,000 jobs the sum lies in the interval of a sample."""
    random, held = Random(1), 0  # noqa: S311 - the same files each time
    for _ in range(500):
        jobs = [draw(random) for _ in range(1000)]
        found = interval(random.sample(jobs, size), len(jobs))
        assert found is not None
        held += found.low <= sum(jobs) <= found.high
    return held / 500


def test_the_interval_holds_as_often_as_it_says() -> None:
    assert coverage(lambda random: random.uniform(20, 200), 20) == pytest.approx(
        CONFIDENCE, abs=0.01
    )


def test_it_holds_somewhat_less_often_where_few_jobs_are_far_larger() -> None:
    """The largest of a hundred is ten times the usual one."""
    assert coverage(lambda random: random.lognormvariate(0, 1), 20) > 0.88


def quote(**changes: Any) -> dict[str, Any]:
    takings = {
        "calls": 1000,
        "estimated_input_tokens": 40_000,
        "input_tokens": {"low": 30_000, "high": 54_000},
        "output_tokens": {"low": 1000, "high": 256_000},
        "cost_usd": {"low": "0.003400000", "high": "0.107800000"},
        "worst_cost_usd": "0.500000000",
        "unpriced_jobs": 0,
    }
    target = {"model": "cheap", "target": "openai/sim-small", "jobs": 1000, **takings}
    whole = {
        "jobs": 1200,
        "collapsed_jobs": 150,
        "reused_jobs": 50,
        "targets": [target],
        "unpriced_models": [],
        "max_cost_usd": "1.000000000",
        "max_cost_suffices": "surely",
        "eta": {"low": 60.0, "high": 4000.0},
        "limited_by": "tpm of openai/main (5,000)",
        "eta_unknown_because": None,
        "fault_count": 0,
        "faults": [],
    }
    return {**takings, **whole, **changes}


def sampled(cost_nanos: int | None, output_tokens: int, attempts: int = 1) -> dict[str, Any]:
    return {
        "attempts": attempts,
        "cost_usd": None if cost_nanos is None else f"0.{cost_nanos:09d}",
        "usage": {"output_tokens": output_tokens},
    }


def batch(failed: int = 0, bad: int = 0) -> dict[str, Any]:
    return {
        "counts": {"failed": failed},
        "bad_answers": bad,
        "bad_answers_cost_usd": "0.000000300",
    }


def test_all_jobs_that_are_called_for_cost_what_those_of_the_sample_did() -> None:
    results = [sampled(50_000, 100), sampled(60_000, 140, 3), *[sampled(50_000, 100)] * 3]
    refined = refine(quote(), batch(failed=1, bad=2), [*results, sampled(0, 0, attempts=0)])
    assert (refined["sampled_jobs"], refined["jobs"]) == (5, 1000)
    low, high = (float(refined["cost_usd"][end]) for end in ("low", "high"))
    assert (low + high) / 2 == pytest.approx(0.052)
    assert low < 0.05 < 0.054 < high
    assert refined["output_tokens_per_job"] == {"mean": 108.0, "deviation": 17.9}
    assert (refined["bad_answers"], refined["bad_answer_share"]) == (2, round(2 / 7, 4))
    assert (refined["failed_jobs"], refined["bad_answers_cost_usd"]) == (1, "0.000000300")


def test_the_range_ends_at_the_worst_case() -> None:
    results = [sampled(10_000, 1), *[sampled(900_000, 1)] * 4]
    assert refine(quote(), batch(), results)["cost_usd"]["high"] == "0.500000000"


def test_without_a_price_only_tokens_are_told() -> None:
    refined = refine(quote(), batch(), [sampled(None, 100)] * 5)
    assert refined["cost_usd"] is None
    assert refined["output_tokens"] == {"low": 98_000, "high": 102_000}


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0.000000000", "$0"),
        ("0.000012345", "$0.0000123"),
        ("0.107800000", "$0.108"),
        ("1.234500000", "$1.23"),
        ("12.346000000", "$12.35"),
        ("4567.891000000", "$4,568"),
    ],
)
def test_a_bound_has_three_figures(amount: str, shown: str) -> None:
    assert about(amount) == shown


def test_a_range_of_one_amount_is_that() -> None:
    assert between({"low": "0.100000000", "high": "0.100000001"}) == "$0.100"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    out = io.StringIO()
    console = Console(file=out, width=200, markup=False, highlight=False)
    monkeypatch.setattr("scripts.command.quote.stdout", lambda: console)
    monkeypatch.setattr("scripts.command.quote.stderr", lambda: console)
    return out


def test_a_quote_is_shown_with_all_that_there_is_to_say(shown: io.StringIO) -> None:
    tell_quote(quote(), as_json=False)
    text = shown.getvalue()
    for words in (
        "1,200, of these 150 the same as an earlier one, 50 answered before",
        "about 40,000 (30,000 – 54,000)",
        "1,000 – 256,000",
        "$0.00340 – $0.108",
        "$0.500, if every answer is bad and asked for again",
        "$1.00 suffices, whatever the answers are",
        "1 min 00 s – 1 h 06 min, if nothing else runs; limited by tpm of openai/main (5,000)",
    ):
        assert words in text


def test_a_quote_says_which_price_and_which_limit_are_not_known(shown: io.StringIO) -> None:
    unknown = quote(
        cost_usd=None,
        worst_cost_usd=None,
        unpriced_jobs=1000,
        unpriced_models=["openai/sim-\x1bfree"],
        max_cost_suffices=None,
        eta=None,
        eta_unknown_because="no limit of openai/main tells how many calls it takes in a minute",
    )
    tell_quote(unknown, as_json=False)
    text = shown.getvalue()
    assert "unknown: no limit of openai/main" in text
    assert "openai/sim-\\x1bfree: 1,000 jobs, which the cost leaves out" in text
    assert "not every price is known" in text


def test_several_targets_have_a_row_each(shown: io.StringIO) -> None:
    (one,) = quote()["targets"]
    tell_quote(quote(targets=[one, {**one, "target": "far/sim-large"}]), as_json=False)
    assert "openai/sim-small" in shown.getvalue()
    assert "far/sim-large" in shown.getvalue()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"prompt": "Say it.\nTwice."}, "Say it.⏎Twice."),
        ({"text": "Call me Ishmael.", "target": "fr"}, "Call me Ishmael."),
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}, "u"),
        ({"variables": {"x": 1}}, '{"x": 1}'),
        ({"other": 1}, '{"other": 1}'),
        ({"prompt": "x" * 1000}, "x" * (LONGEST_INPUT - 1) + "…"),
    ],
)
def test_a_jobs_own_words_are_shown(line: dict[str, Any], words: str) -> None:
    assert words_of(json.dumps(line).encode()) == words
