"""The judge of lies, on accounts that a system which believes them would have."""

from typing import Any

from scripts.benchmarks.answers_judge import Judgement, judge
from scripts.simulator.model import fingerprint

LINE = {"custom_id": "a", "prompt": "x", "schema": {}}
TRUTH = fingerprint({"name": "Eling"})


def call(lie: str = "", model: str = "small", truth: int = TRUTH) -> dict[str, Any]:
    return {
        "job_id": "a",
        "answered": True,
        "lie": lie,
        "truth": truth,
        "model": model,
        "cost_nanos": 10,
    }


def result(output: Any, finish_reason: str = "complete") -> dict[str, Any]:
    return {
        "custom_id": "a",
        "status": "succeeded",
        "output": output,
        "finish_reason": finish_reason,
    }


def judged(outcome: dict[str, Any], *calls: dict[str, Any], **line: Any) -> Judgement:
    return judge([{**LINE, **line}], [outcome], calls)


def test_a_lie_that_was_believed_is_bad() -> None:
    found = judged(result({"nom": "Eling"}), call("missing_field"))
    assert (found.bad, found.tallies["missing_field"].bad) == (1, 1)
    assert "missing_field" in found.examples[0]


def test_an_answer_that_nobody_gave_is_bad_whether_there_was_a_lie_or_not() -> None:
    assert judged(result({"name": "Made up"}), call()).bad == 1


def test_how_a_job_got_its_honest_answer_is_told() -> None:
    good = result({"name": "Eling"})
    ways = {
        "repaired": (call("sloppy"),),
        "asked_again": (call("empty"), call()),
        "escalated": (call("refusal"), call(model="large")),
        "given_room": (call("length"), call()),
    }
    for way, calls in ways.items():
        found = judged(good, *calls)
        tally = found.tallies[calls[0]["lie"]]
        assert getattr(tally, way) == 1
        assert found.bad == 0
        assert found.wasted_nanos == 10 * (len(calls) - 1)
        assert found.useful_nanos == 10


def test_an_honest_answer_that_was_not_taken_is_a_refusal() -> None:
    assert judged(result({"name": "Eling"}), call(), call()).refusals == ("a",)
    failed = {"custom_id": "a", "status": "failed", "error": {"code": "refused"}}
    found = judged(failed, call("denial"), call())
    assert found.refusals == ("a",)
    assert found.tallies["denial"].failed == {"refused": 1}


def test_the_beginning_of_a_text_is_bad_also_where_that_is_told() -> None:
    cut = call("length", truth=fingerprint("The tide comes in."))
    assert judged(result("The tide", "truncated"), cut).bad == 1
