"""The kind `extraction`: what the model is asked, and which answers are good."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.exchange import Answer, Finish, ModelRequest, Usage
from jobs.kinds import KINDS
from jobs.kinds.extraction import (
    DEFAULT_PART_TOKENS,
    MAX_PARTS,
    Extraction,
    ExtractionLine,
)
from jobs.kinds.kind import Bad, FieldFault, Good, Plan, Remedy, Verdict
from jobs.tokens import estimate_tokens
from workers.protocols.dialects import ANTHROPIC, GEMINI, OPENAI
from workers.protocols.schemas import form_of

EXTRACTION = Extraction()

MILL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "owner": {
            "type": "object",
            "properties": {"since": {"type": "integer"}},
            "required": ["since"],
        },
        "wheels": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "metres": {"type": "number"}},
                "required": ["id"],
            },
        },
    },
    "required": ["name", "wheels"],
}

TEXT = "The mill at Eling has one wheel, the west wheel, of 3.5 metres."


def line(**fields: Any) -> ExtractionLine:
    given = {"custom_id": "a1", "kind": "extraction", "model": "m", "text": TEXT, "schema": MILL}
    return msgspec.json.decode(json.dumps({**given, **fields}), type=ExtractionLine)


def answer(value: Any, finish: Finish = Finish.COMPLETE) -> Answer:
    text = value if isinstance(value, str) else json.dumps(value)
    return Answer(text=text, finish=finish, usage=Usage(5, 0, 0, 5))


def judged(made: ExtractionLine, value: Any) -> Verdict:
    return EXTRACTION.plan(made).judge((), answer(value))


def joined(plan: Plan, *values: Any) -> Verdict:
    kept: list[Any] = []
    for value in values:
        verdict = plan.judge(kept, answer(value))
        assert isinstance(verdict, Good), verdict
        kept.append(verdict.output)
    return plan.join(kept)


def test_the_kind_is_found_by_its_name() -> None:
    assert isinstance(KINDS["extraction"], Extraction)


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"text": ""}, "missing_text", "text"),
    ({"text": " \n"}, "missing_text", "text"),
    ({"schema": None}, "missing_schema", "schema"),
    ({"schema": {"type": "integr"}}, "invalid_schema", "schema"),
    ({"schema": []}, "wrong_type", "schema"),
    ({"schema": {"$ref": "#/nowhere"}, "evidence": True}, "invalid_schema", "schema"),
    ({"text": "x " * 2_000_000, "part_tokens": 200}, "too_many_parts", "part_tokens"),
]


@pytest.mark.parametrize(("fields", "code", "field"), FAULTS)
def test_fields_that_do_not_fit_are_named(fields: dict[str, Any], code: str, field: str) -> None:
    fault = EXTRACTION.check(line(**fields))
    assert isinstance(fault, FieldFault)
    assert (fault.code, fault.field) == (code, field)


def test_a_line_without_a_schema_or_a_text_is_told_so() -> None:
    bare = msgspec.json.decode(b'{"custom_id":"a"}', type=ExtractionLine)
    fault = EXTRACTION.check(bare)
    assert fault is not None
    assert fault.code == "missing_text"


def test_a_text_is_asked_for_what_the_schema_asks() -> None:
    made = line(instructions="Lengths are in metres.", max_tokens=50, temperature=0, seed=3)
    assert EXTRACTION.check(made) is None
    (request,) = EXTRACTION.plan(made).requests
    assert isinstance(request, ModelRequest)
    assert request.schema == MILL
    assert (request.max_tokens, request.temperature, request.seed) == (50, 0, 3)
    (message,) = request.messages
    assert message.content == f"Text:\n\n{TEXT}\n\nJSON:"
    assert request.system is not None
    assert msgspec.json.encode(MILL).decode() in request.system
    assert request.system.endswith("Lengths are in metres.")
    assert "evidence" not in request.system
    assert "part" not in request.system


def test_a_schema_in_the_task_is_not_told_again_where_a_provider_has_no_form_for_it() -> None:
    made = line(schema={"type": "object", "additionalProperties": {"type": "string"}})
    (request,) = EXTRACTION.plan(made).requests
    assert request.schema is not None
    form = form_of(request.schema, OPENAI)
    assert form.native is None
    assert form.told(request.system) == request.system


GOOD = {"name": "Eling", "wheels": [{"id": "west", "metres": 3.5}]}


def test_a_value_that_fits_is_the_output() -> None:
    plan = EXTRACTION.plan(line())
    assert joined(plan, GOOD) == Good(GOOD)
    assert plan.judge((), answer({**GOOD, "owner": None})) == Good(
        GOOD, "null for what may be missing: /owner"
    )


BAD: list[tuple[Any, Finish, str, Remedy]] = [
    ("It has one wheel.", Finish.COMPLETE, "invalid_json", Remedy.TELL),
    ({"name": "Eling"}, Finish.COMPLETE, "schema_violation", Remedy.TELL),
    ({"name": "Eling", "wheels": []}, Finish.COMPLETE, "schema_violation", Remedy.TELL),
    (GOOD, Finish.TRUNCATED, "truncated", Remedy.RAISE),
    ('{"name": "Eling", "wheels": [{"id": "w', Finish.TRUNCATED, "truncated", Remedy.RAISE),
    ('{"name": "Eling", "wheels": [{"id": "w', Finish.COMPLETE, "invalid_json", Remedy.TELL),
    (GOOD, Finish.REFUSED, "refused", Remedy.TURN),
    ("", Finish.COMPLETE, "empty_output", Remedy.ASK),
]


@pytest.mark.parametrize(("value", "finish", "code", "remedy"), BAD)
@pytest.mark.parametrize("evidence", [False, True])
def test_what_does_not_fit_is_bad(
    value: Any, finish: Finish, code: str, remedy: Remedy, evidence: bool
) -> None:
    if evidence and not isinstance(value, str):
        value = {"value": value, "evidence": []}
    verdict = EXTRACTION.plan(line(evidence=evidence)).judge((), answer(value, finish))
    assert isinstance(verdict, Bad)
    assert (verdict.code, verdict.remedy) == (code, remedy)


def test_with_evidence_every_property_and_item_needs_words_of_the_text() -> None:
    made = line(evidence=True)
    quotes = [
        {"path": "/name", "quote": "mill at Eling"},
        {"path": "wheels[0]", "quote": "the west wheel,  of 3.5 metres"},
    ]
    bad = judged(made, {"value": GOOD, "evidence": quotes[:1]})
    good = judged(made, {"value": GOOD, "evidence": quotes})
    assert isinstance(bad, Bad)
    assert (bad.code, bad.remedy) == ("evidence_missing", Remedy.TELL)
    assert bad.message.endswith("given for /wheels/0")
    quotes[0]["quote"] = "the mill at Totton"
    bad = judged(made, {"value": GOOD, "evidence": quotes})
    assert isinstance(bad, Bad)
    assert bad.message.endswith("for /name ('the mill at Totton' does not occur in it)")
    assert isinstance(good, Good)
    assert good.output["value"] == GOOD
    for found in good.output["evidence"]:
        assert TEXT[found["start"] : found["end"]] == found["quote"]
    assert [found["path"] for found in good.output["evidence"]] == ["/name", "/wheels/0"]


def test_of_much_that_is_without_evidence_some_is_named() -> None:
    value = {"name": "Eling", "wheels": [{"id": str(n)} for n in range(500)]}
    bad = judged(line(evidence=True), {"value": value, "evidence": []})
    assert isinstance(bad, Bad)
    assert "/wheels/8 and 491 more" in bad.message


PARAGRAPH = "The mill at Eling stands by the water and has been rebuilt. " * 4


def long_text(*facts: str) -> str:
    return "\n\n".join(f"{PARAGRAPH}{fact}" for fact in facts for _ in range(3))


def test_a_long_text_is_read_in_parts_that_overlap() -> None:
    text = long_text(*(f"Fact {n}." for n in range(10)))
    plan = EXTRACTION.plan(line(text=text, part_tokens=300))
    assert 5 < len(plan.requests) < 15
    first, second, *_ = plan.requests
    assert first.messages[0].content.startswith(f"Part 1 of {len(plan.requests)} of the text:\n\n")
    assert first.system == second.system
    assert first.system is not None
    assert "a part of a longer one" in first.system
    for request in plan.requests:
        assert estimate_tokens(request.messages[0].content) < 330
        assert plan.request([None] * (plan.requests.index(request))) is request
    whole = "".join(request.messages[0].content for request in plan.requests)
    assert all(f"Fact {n}." in whole for n in range(10))


def test_a_part_need_not_say_everything_and_all_parts_together_must() -> None:
    text = long_text("The west wheel.", "The east wheel.", "Its owner.")
    plan = EXTRACTION.plan(line(text=text, part_tokens=200, merge_key="id"))
    asked = plan.requests[0].schema
    assert asked is not None
    assert "required" not in asked
    assert asked["properties"]["wheels"]["items"]["required"] == ["id"]
    assert "minItems" not in asked["properties"]["wheels"]
    count = len(plan.requests)
    said = [
        {"wheels": [{"id": "west", "metres": None}]},
        {"name": "Eling", "owner": None},
        {"name": "Tide", "wheels": [{"id": "east"}, {"id": "west", "metres": 3.5}]},
    ]
    assert count >= 3
    nothing: list[dict[str, Any]] = [{}] * (count - 3)
    assert joined(plan, *said, *nothing) == Good(
        {
            "name": "Eling",
            "wheels": [{"id": "west", "metres": 3.5}, {"id": "east"}],
        },
        "parts contradict each other, the first stands: /name",
    )
    verdict = joined(plan, said[0], *[{}] * (count - 1))
    assert isinstance(verdict, Bad)
    assert (verdict.code, verdict.remedy) == ("schema_violation", Remedy.TURN)
    assert '"name" is a required property' in verdict.message


def test_the_places_of_evidence_are_those_of_the_whole_text() -> None:
    text = long_text("The west wheel.", "The east wheel.")
    plan = EXTRACTION.plan(line(text=text, part_tokens=300, evidence=True))
    kept: list[Any] = []
    for number, request in enumerate(plan.requests):
        value: dict[str, Any] = {"name": "Eling" if number < 2 else "Tide", "wheels": []}
        quotes = [{"path": "/name", "quote": "The mill at Eling"}]
        for name in ("west", "east"):
            if f"The {name} wheel." in request.messages[0].content:
                quotes.append({"path": f"/wheels/{len(value['wheels'])}", "quote": f"{name} wheel"})
                value["wheels"].append({"id": name})
        verdict = plan.judge(kept, answer({"value": value, "evidence": quotes}))
        assert isinstance(verdict, Good), verdict
        kept.append(verdict.output)
    whole = plan.join(kept)
    assert isinstance(whole, Good)
    assert whole.output["value"] == {"name": "Eling", "wheels": [{"id": "west"}, {"id": "east"}]}
    proven: dict[str, list[str]] = {}
    for found in whole.output["evidence"]:
        assert text[found["start"] : found["end"]] == found["quote"]
        proven.setdefault(found["path"], []).append(found["quote"])
    assert set(proven) == {"/name", "/wheels/0", "/wheels/1"}
    assert set(proven["/wheels/0"]) == {"west wheel"}
    assert set(proven["/wheels/1"]) == {"east wheel"}
    assert len(proven["/name"]) == 2  # what the others say is not the name


RECURSIVE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "inner": {"$ref": "#"},
        "size": {"$ref": "#/$defs/size"},
    },
    "required": ["name"],
    "$defs": {
        "size": {
            "type": "object",
            "properties": {"metres": {"type": "number"}},
            "required": ["metres"],
        }
    },
}


@pytest.mark.parametrize("evidence", [False, True])
def test_parts_of_a_schema_with_references_are_asked_for_as_well(evidence: bool) -> None:
    text = long_text("A.", "B.", "C.")
    made = line(text=text, schema=RECURSIVE, part_tokens=300, evidence=evidence)
    assert EXTRACTION.check(made) is None
    plan = EXTRACTION.plan(made)
    value: Any = {"size": {}, "inner": {"name": "x"}}
    told: Any = {"value": {**value, "inner": None}, "evidence": []} if evidence else value
    verdict = plan.judge((), answer(told))
    if evidence:
        assert isinstance(verdict, Bad)
        assert verdict.code == "evidence_missing"
    else:
        assert verdict == Good(value)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, GEMINI])
@pytest.mark.parametrize("evidence", [False, True])
def test_what_is_asked_of_parts_is_in_every_providers_form(dialect: Any, evidence: bool) -> None:
    for text in (TEXT, long_text("A.", "B.", "C.")):
        request, *_ = EXTRACTION.plan(line(text=text, evidence=evidence, part_tokens=300)).requests
        assert request.schema is not None
        assert form_of(request.schema, dialect).native is not None


def test_lines_that_are_merged_differently_ask_differently() -> None:
    """Else two such jobs would be taken for the same, and one given the other's output."""
    text = long_text("A.", "B.")
    first, second = (
        EXTRACTION.plan(line(text=text, part_tokens=300, merge_key=key)).requests
        for key in ("id", "name")
    )
    assert first != second


def test_the_longest_line_has_fewer_parts_than_a_text_may_have() -> None:
    assert 16 * 1024 * 1024 // (DEFAULT_PART_TOKENS * 3) < MAX_PARTS


MILLS = {
    "type": "object",
    "properties": {"mills": {"type": "array", "items": {"type": "string"}}},
    "required": ["mills"],
}
FILLING = st.sampled_from(
    [" ", ". ", "\n", "\n\n", " and more of it. ", "。", " x" * 30, "👩‍👩‍👧", "\r\n"]
)


@given(st.lists(FILLING, min_size=1, max_size=120), st.integers(200, 260))
def test_whatever_stands_in_a_long_text_is_found_where_it_stands(
    fillings: list[str], part_tokens: int
) -> None:
    """Every mill that a part has is extracted from it: in the end all are there, and once each."""
    named = [f"<mill-{number}>" for number in range(len(fillings))]
    text = "".join(map("".join, zip(named, fillings, strict=True)))
    plan = EXTRACTION.plan(line(text=text, schema=MILLS, evidence=True, part_tokens=part_tokens))
    kept: list[Any] = []
    for request in plan.requests:
        found = re.findall(r"<mill-\d+>", request.messages[0].content)
        evidence = [{"path": f"/mills/{n}", "quote": name} for n, name in enumerate(found)]
        verdict = plan.judge(kept, answer({"value": {"mills": found}, "evidence": evidence}))
        assert isinstance(verdict, Good), verdict
        kept.append(verdict.output)
    whole = plan.join(kept)
    assert isinstance(whole, Good)
    assert sorted(whole.output["value"]["mills"]) == sorted(named)
    for proof in whole.output["evidence"]:
        assert text[proof["start"] : proof["end"]] == proof["quote"]
    proven = {proof["quote"] for proof in whole.output["evidence"]}
    assert proven == set(named)
