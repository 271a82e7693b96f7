"""Every lie of the simulated model, to every form of job: none passes, and no honest answer is refused."""

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
import pytest

from jobs.kinds import KINDS
from jobs.kinds.kind import Bad, Good, Plan, Verdict
from scripts.benchmarks.answers_jobs import FORMS, lines
from scripts.benchmarks.answers_judge import is_honest
from scripts.simulator.calls import Answer
from scripts.simulator.dialects import openai
from scripts.simulator.model import think
from scripts.simulator.options import OutputTokens
from scripts.simulator.troubles import Trouble, may_happen
from workers.protocols.openai import OpenAI

EACH = 6
"""Jobs of each form; they differ in texts, in languages and in how lies are told."""

LINES = [*lines(EACH * len(FORMS))]
PROTOCOL = OpenAI("http://provider.test/v1")
FOUND_OUT = {
    Trouble.REFUSAL: {"refused"},
    Trouble.DENIAL: {"refused"},
    Trouble.LENGTH: {"truncated"},
    Trouble.LOOP: {"degenerate_output"},
    Trouble.EMPTY: {"empty_output"},
    Trouble.SLOPPY: set(),
    Trouble.SCHEMA: {"schema_violation"},
    Trouble.MISSING_FIELD: {"schema_violation"},
    Trouble.WRONG_TYPE: {"schema_violation"},
    Trouble.EXTRA_KEY: {"schema_violation"},
    Trouble.INVALID_JSON: {"invalid_json"},
    Trouble.MISQUOTED: {"evidence_missing"},
    Trouble.WRONG_LANGUAGE: {"wrong_language"},
    Trouble.UNTRANSLATED: {"wrong_language"},
    Trouble.LOST_PLACEHOLDER: {"lost_placeholder"},
    Trouble.CHANGED_PLACEHOLDER: {"lost_placeholder"},
    Trouble.CHANGED_NUMBER: {"lost_placeholder"},
}
"""By which code a lie is told that is not put right."""


def plan_of(line: dict[str, Any]) -> Plan:
    kind = KINDS[line.get("kind", "generation")]
    raw = orjson.dumps({**line, "kind": kind.name})
    return kind.plan(msgspec.json.decode(raw, type=kind.line_type))


def heard(plan: Plan, kept: Sequence[Any], trouble: Trouble | None) -> tuple[Answer, Verdict]:
    """Return what the simulated model says to the next part, and what that is worth."""
    call = openai.read(PROTOCOL.request(plan.request(kept), "m", None).body, "", "")
    if trouble is not None and not may_happen(trouble, call):
        trouble = None
    answer = think(call, OutputTokens(), trouble)
    body = orjson.dumps(openai.answer(call, answer, 1))
    return answer, plan.judge(kept, PROTOCOL.answer(200, {}, body))


@pytest.mark.parametrize("line", LINES, ids=[line["custom_id"] for line in LINES])
def test_an_honest_answer_is_taken(line: dict[str, Any]) -> None:
    plan = plan_of(line)
    kept: list[Any] = []
    truths = set()
    for _ in plan.requests:
        answer, verdict = heard(plan, kept, None)
        assert isinstance(verdict, Good), verdict
        assert verdict.mended is None
        kept.append(verdict.output)
        truths.add(answer.truth)
    joined = plan.join(kept)
    assert isinstance(joined, Good)
    assert is_honest(line, joined.output, truths)


@pytest.mark.parametrize("trouble", FOUND_OUT)
def test_a_lie_is_found_out_or_put_right(trouble: Trouble) -> None:
    told = 0
    for line in LINES:
        plan = plan_of(line)
        if len(plan.requests) > 1:
            continue
        answer, verdict = heard(plan, [], trouble)
        told += bool(answer.lie)
        if isinstance(verdict, Bad):
            assert verdict.code in FOUND_OUT[trouble], (verdict, answer.text)
        else:
            assert is_honest(line, verdict.output, {answer.truth}), answer.text
            assert bool(verdict.mended) == bool(answer.lie)
    assert told >= EACH
