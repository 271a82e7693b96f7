from collections import Counter
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any

import pytest

from scripts.benchmarks.cases import Store
from scripts.fault_injection.arguments import ONLY_POSTGRES, Broker, parse_arguments
from scripts.fault_injection.kinds import Kind, chosen, deal
from scripts.fault_injection.recovery import again_after, back_after, summed_up
from scripts.fault_injection.submissions import Submission, job_ids
from scripts.fault_injection.verdict import Accounts, judge

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


def attempt(custom_id: str, **changes: Any) -> dict[str, Any]:
    good = {
        "custom_id": custom_id,
        "outcome": "succeeded",
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
    return {"custom_id": custom_id, "status": "succeeded", "output": text, **changes}


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
        may_be_unknown=1,
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
        ({"may_be_unknown": 0}, "1 unknown attempts, 0 calls were in danger"),
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


def test_what_there_is_no_money_for_is_not_lost() -> None:
    batch = {"state": "paused", "max_cost_usd": "0.000000180"}
    verdict = judge(accounts(batch=batch, results={"bat_1": [result(FIRST)]}))
    assert (verdict.lost, verdict.finished, verdict.findings) == (0, 1, [])


def test_work_goes_on_with_the_second_that_is_nearly_full() -> None:
    arrivals = [0.0, 0.1, 0.2, 5.0, 6.5, 8.0, 8.1, 8.2, 8.3]
    assert back_after(arrivals, 1.0, 9.0, calls_s=5) == 7.0
    assert back_after(arrivals, 1.0, 8.0, calls_s=5) is None
    assert back_after(arrivals, 1.0, 9.0, calls_s=6) is None


def test_a_lost_call_is_made_again_with_the_first_that_arrives_for_its_job_later() -> None:
    arrivals = {"a": [9.0, 24.0, 30.0], "b": [9.5, 22.5], "c": [9.0], "d": [21.0]}
    assert again_after(arrivals, ["a", "b", "c", "e"], 10.0) == [14.0, 12.5]


def test_recoveries_are_summed_up() -> None:
    summed = summed_up([3.0, 1.0, 8.0])
    assert summed is not None
    assert (summed.of, summed.p50_s, summed.worst_s) == (3, 3.0, 8.0)
    assert summed_up([]) is None


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
