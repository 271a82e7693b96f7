"""The judge of `scripts/chaos`: every broken promise is found, by accounts that are made up."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from random import Random
from typing import Any

import pytest

from scripts.benchmarks.cases import Store
from scripts.fault_injection.arguments import ONLY_POSTGRES, Broker, parse_arguments
from scripts.fault_injection.kinds import Kind, Strike, chosen, deal
from scripts.fault_injection.submissions import Submission, job_ids
from scripts.fault_injection.verdict import Accounts, Verdict, is_at_rest, judge

SENT = Submission("000", 2)
FIRST, SECOND = job_ids(SENT)


def test_a_word_stands_for_all_kinds_that_begin_so() -> None:
    assert chosen("flush,kill") == (
        Kind.KILL_WORKER,
        Kind.KILL_API,
        Kind.KILL_BEAT,
        Kind.KILL_ALL,
        Kind.FLUSH,
    )
    with pytest.raises(ValueError, match="'meteor' is the beginning of none"):
        chosen("flush,meteor")


def test_every_round_deals_every_kind_once_in_an_order_that_the_seed_decides() -> None:
    kinds = tuple(Kind)

    def two_rounds() -> list[Kind]:
        return list(islice(deal(kinds, Random(7)), 2 * len(kinds)))  # noqa: S311 - repeatable

    dealt = two_rounds()
    assert Counter(dealt[: len(kinds)]) == Counter(dealt[len(kinds) :]) == Counter(kinds)
    assert dealt[: len(kinds)] != dealt[len(kinds) :]
    assert dealt == two_rounds()


def sent_at(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def attempt(custom_id: str, **changes: Any) -> dict[str, Any]:
    good = {
        "custom_id": custom_id,
        "sent_at": sent_at(1000.0),
        "outcome": "succeeded",
        "reserved_usd": "0.000000100",
        "usage": {"input_tokens": 7, "output_tokens": 3},
        "cost_usd": "0.000000040",
        "cost_is_estimate": False,
    }
    return good | changes


UNKNOWN = {
    "outcome": "unknown",
    "usage": None,
    "cost_usd": "0.000000100",
    "cost_is_estimate": True,
}


def call(job_id: str, **changes: Any) -> dict[str, Any]:
    return {"job_id": job_id, "answered": True, "cost_nanos": 40, **changes}


def result(custom_id: str, **changes: Any) -> dict[str, Any]:
    text = f"[job:{custom_id}] an answer"
    good = {"custom_id": custom_id, "status": "succeeded", "output": text, "error": None}
    return good | changes


def strike(kind: Kind = Kind.KILL_WORKER, began_at: float = 1000.0, **changes: Any) -> Strike:
    """Return a fault of one second that one call suffered from."""
    good = Strike(kind, "", began_at, began_at + 1.0, hits=1, may_be_unknown=1)
    return replace(good, **changes)


def accounts(**changes: Any) -> Accounts:
    """Two jobs, of which the second was answered twice: the first answer was lost with its worker."""
    batch = {
        "id": "bat_1",
        "name": SENT.name,
        "state": "completed",
        "counts": {"total": 2},
        "cost_usd": "0.000000180",
        "reserved_usd": "0.000000000",
        "max_cost_usd": None,
        "waiting_for": None,
        "unknown_attempts": 1,
        **changes.pop("batch", {}),
    }
    right = Accounts(
        accepted={SENT: "bat_1"},
        batches=[batch],
        results={"bat_1": [result(FIRST), result(SECOND)]},
        attempts=[attempt(FIRST), attempt(SECOND, **UNKNOWN), attempt(SECOND)],
        ledger_total={"cost_usd": "0.000000180", "attempts": 3},
        calls=[call(FIRST), call(SECOND), call(SECOND)],
        strikes=[strike()],
    )
    return replace(right, **changes)


def test_accounts_that_agree_are_right_and_what_was_wasted_is_told() -> None:
    verdict = judge(accounts())
    assert verdict.findings == []
    assert (verdict.accepted, verdict.finished, verdict.lost, verdict.doubled) == (2, 2, 0, 0)
    assert (verdict.unknown, verdict.wasted, verdict.wasted_nanos) == (1, 1, 40)
    assert (verdict.cost_nanos, verdict.drift_nanos) == (180, 0)


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"results": {"bat_1": [result(FIRST)]}}, f"1 jobs without a result: {SECOND}"),
        (
            {"results": {"bat_1": [result(FIRST), result(SECOND), result(SECOND)]}},
            "1 results too many",
        ),
        (
            {"results": {"bat_1": [result(FIRST), result(SECOND, output="[job:other] hm")]}},
            f"1 answers to another job: {SECOND}",
        ),
        (
            {"results": {"bat_1": [result(FIRST), result(SECOND), result("x-000001")]}},
            "1 results of strangers: x-000001",
        ),
        ({"batch": {"counts": {"total": 1}}}, "batch 000 has 1 of 2 lines"),
        (
            {"calls": [call(FIRST), call(SECOND), call(SECOND), call(SECOND)]},
            f"1 jobs with a billed call that we have no attempt for: {SECOND}",
        ),
        (
            {"calls": [call(FIRST), call(FIRST, answered=False), call(SECOND)]},
            f"1 jobs with a billed call that we have no attempt for: {FIRST}",
        ),
        (
            {"calls": [call(FIRST, cost_nanos=37), call(SECOND)]},
            "3 nano-dollars apart on answered attempts",
        ),
        ({"calls": [call(SECOND)]}, "40 nano-dollars apart on answered attempts"),
        ({"strikes": []}, "1 unknown attempts, 0 calls were in danger"),
        (
            {"ledger_total": {"cost_usd": "0.000000181", "attempts": 3}},
            "the ledger say $0.000000181, attempts $0.000000180",
        ),
        (
            {"ledger_total": {"cost_usd": "0.000000180", "attempts": 4}},
            "4 attempts in the ledger of 3",
        ),
        (
            {"batch": {"cost_usd": "0.000000179"}},
            "the batches say $0.000000179, attempts $0.000000180",
        ),
        ({"batch": {"reserved_usd": "0.000000100"}}, "$0.000000100 reserved for nothing"),
        ({"batch": {"unknown_attempts": 2}}, "the batches count 2 unknown of 1"),
        ({"batch": {"max_cost_usd": "0.000000150"}}, "$0.000000030 over the budget"),
    ],
)
def test_each_broken_promise_is_found(changes: dict[str, Any], finding: str) -> None:
    assert judge(accounts(**changes)).findings == [finding]


def test_an_accepted_batch_that_is_gone_is_found_and_so_is_one_that_nobody_asked_for() -> None:
    verdict = judge(accounts(accepted={SENT: "bat_2"}))
    assert verdict.lost == 2
    assert verdict.findings == [
        "batch 000 was answered with 202 and is gone",
        "1 batches beside the one of their key: 000",
    ]


def test_an_open_attempt_is_found() -> None:
    in_flight = attempt(FIRST, outcome=None, usage=None, cost_usd=None)
    attempts = [*accounts().attempts, in_flight]
    assert judge(accounts(attempts=attempts)).findings == ["1 attempts are still open"]


PAUSED = {"state": "paused", "max_cost_usd": "0.000000180", "waiting_for": "its budget of $1 is …"}


def test_what_there_is_no_money_for_is_not_lost() -> None:
    verdict = judge(accounts(batch=PAUSED, results={"bat_1": [result(FIRST)]}))
    assert (verdict.lost, verdict.finished, verdict.findings) == (0, 1, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"max_cost_usd": "0.000000280"},  # room for one more call
        {"max_cost_usd": None},
        {"waiting_for": "paused by its owner"},
    ],
)
def test_a_batch_that_is_paused_for_no_want_of_money_is_found(changes: dict[str, Any]) -> None:
    batch = PAUSED | changes
    verdict = judge(accounts(batch=batch, results={"bat_1": [result(FIRST)]}))
    assert is_at_rest(batch | {"reserved_usd": "0"})
    assert verdict.lost == 1
    assert verdict.findings == [
        f"batch 000 is paused, and not for want of money: {batch['waiting_for']}",
        f"1 jobs without a result: {SECOND}",
    ]


def error_of(code: str) -> dict[str, Any]:
    return result(SECOND, status="failed", output=None, error={"code": code, "message": ""})


def verdict_of_an_error(code: str, strikes: Sequence[Strike], *failed_at: float) -> Verdict:
    attempts = [attempt(SECOND, sent_at=sent_at(moment), **UNKNOWN) for moment in failed_at]
    cost = f"{40 + 100 * len(attempts)}".zfill(9)
    return judge(
        accounts(
            batch={"cost_usd": f"0.{cost}", "unknown_attempts": len(attempts)},
            results={"bat_1": [result(FIRST), error_of(code)]},
            attempts=[attempt(FIRST), *attempts],
            ledger_total={"cost_usd": f"0.{cost}", "attempts": 1 + len(attempts)},
            calls=[call(FIRST)],
            strikes=strikes,
        )
    )


def test_an_error_for_a_result_is_excused_if_as_many_calls_as_a_job_has_met_a_fault() -> None:
    trouble = strike(Kind.PROVIDER, ended_at=1010.0, may_be_unknown=9)
    # The first was in flight when the trouble began, the last was sent as it ended.
    times = (986.0, 1000.0, 1003.0, 1006.0, 1010.0)
    verdict = verdict_of_an_error("timed_out", [trouble], *times)
    assert verdict.findings == []
    assert verdict.errors == {"timed_out": 1}
    assert verdict.excuses == [f"{SECOND} (timed_out): 5 of its calls met a fault"]


@pytest.mark.parametrize(
    ("code", "kind", "times"),
    [
        ("timed_out", Kind.PROVIDER, (986.0, 1000.0, 1003.0, 1006.0, 1010.5)),
        ("timed_out", Kind.PROVIDER, (984.0, 1000.0, 1003.0, 1006.0, 1010.0)),
        ("timed_out", Kind.PROVIDER, (1000.0, 1003.0, 1006.0, 1010.0)),
        ("timed_out", Kind.FLUSH, (986.0, 1000.0, 1003.0, 1006.0, 1010.0)),
        ("internal_error", Kind.PROVIDER, (986.0, 1000.0, 1003.0, 1006.0, 1010.0)),
        ("unstorable", Kind.PROVIDER, (986.0, 1000.0, 1003.0, 1006.0, 1010.0)),
        ("request_rejected", Kind.PROVIDER, (986.0,)),
        ("kills_workers", Kind.PROVIDER, (986.0, 1000.0, 1003.0, 1006.0, 1010.0)),
    ],
)
def test_an_error_for_a_result_that_no_fault_excuses_is_found(
    code: str, kind: Kind, times: Sequence[float]
) -> None:
    hits = 0 if kind is Kind.FLUSH else 9
    calm = strike(Kind.KILL_WORKER, began_at=5000.0, may_be_unknown=9)
    verdict = verdict_of_an_error(
        code, [strike(kind, ended_at=1010.0, may_be_unknown=hits), calm], *times
    )
    assert verdict.findings == [f"1 errors for a result that no fault excuses: {SECOND} ({code})"]
    assert verdict.excuses == []


def test_a_job_may_be_taken_to_kill_workers_once_faults_have_taken_three_of_them() -> None:
    kills = [strike(began_at=1000.0 + 20 * n, cut_off=[SECOND]) for n in range(3)]
    verdict = verdict_of_an_error("kills_workers", kills, 1000.0, 1020.0, 1040.0)
    assert verdict.excuses == [f"{SECOND} (kills_workers): 3 faults took its worker"]
    assert verdict.findings == []
    kills[0].cut_off = []
    assert verdict_of_an_error("kills_workers", kills, 1000.0, 1020.0, 1040.0).findings


def test_what_sqlite_has_no_server_for_is_left_out() -> None:
    options = parse_arguments(["--store", "sqlite", "--short"])
    assert set(Kind) - set(options.kinds) == ONLY_POSTGRES
    assert (options.jobs, options.lasts_s) == (5000, 120.0)
    assert parse_arguments(["--store", "postgres"]).store is Store.POSTGRES


def test_redis_is_the_broker_unless_rabbitmq_is_asked_for() -> None:
    assert parse_arguments([]).broker is Broker.REDIS
    assert parse_arguments(["--broker", "rabbitmq"]).broker is Broker.RABBITMQ


@pytest.mark.parametrize(
    "argv",
    [
        ["--jobs", "0"],
        ["--faults", "meteor"],
        ["--every", "nan"],
        ["--max-cost-usd", "-1"],
        ["--broker", "kafka"],
        ["--faults", "database-kill"],
    ],
)
def test_what_cannot_be_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(argv)
    assert "usage: scripts/chaos" in capsys.readouterr().err


def test_a_seed_is_always_there_to_be_told() -> None:
    seeds = {parse_arguments([]).seed for _ in range(3)}
    assert len(seeds) > 1
    assert parse_arguments(["--seed", "5"]).seed == 5
