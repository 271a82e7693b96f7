"""The simulated model's honest answers and its lies."""

from typing import Any

import jsonschema_rs
import orjson
import pytest

from scripts.simulator.calls import COMPLAINT, Answer, Call, Finish, read_call
from scripts.simulator.faults import Fault, Faults
from scripts.simulator.model import fingerprint, think
from scripts.simulator.options import OutputTokens
from scripts.simulator.sentences import SENTENCES
from scripts.simulator.translation import Translation, translate
from scripts.simulator.troubles import Trouble, may_happen
from workers.job.dialogue import NOT_LIKE_THAT

INTO_FRENCH = (
    "Translate the user's text from English into French. Answer with the translation only."
)
TEXT = "[job:a1] The mill has 12 wheels,\nas {name} said in <b>1418</b>: https://example.org/a."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "built": {"type": ["integer", "null"]},
        "wheels": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"metres": {"type": "number"}},
                "required": ["metres"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["name", "built", "wheels"],
    "additionalProperties": False,
}
QUOTE = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "quote": {"type": "string"}},
    "required": ["path", "quote"],
    "additionalProperties": False,
}
PROVEN: dict[str, Any] = {
    "type": "object",
    "properties": {"value": SCHEMA, "evidence": {"type": "array", "items": QUOTE}},
    "required": ["value", "evidence"],
    "additionalProperties": False,
}

TRANSLATION = read_call("m", (INTO_FRENCH, TEXT), 500, None)
DOCUMENT = read_call("m", ("Extract.", "Text:\n\n[job:b] A mill."), 500, SCHEMA)
EVIDENCE = read_call("m", ("Extract.", "Text:\n\n[job:c] Eling has a mill."), 500, PROVEN)
PLAIN = read_call("m", ("[job:d] Hello",), 500, None)

OF_TRANSLATIONS = (
    *(Trouble.WRONG_LANGUAGE, Trouble.UNTRANSLATED, Trouble.LOST_PLACEHOLDER),
    *(Trouble.CHANGED_PLACEHOLDER, Trouble.CHANGED_NUMBER),
)
OF_SCHEMAS = (
    *(Trouble.SCHEMA, Trouble.MISSING_FIELD, Trouble.WRONG_TYPE),
    *(Trouble.EXTRA_KEY, Trouble.INVALID_JSON),
)
OF_ALL = (Trouble.REFUSAL, Trouble.DENIAL, Trouble.LENGTH, Trouble.LOOP, Trouble.EMPTY)


def said(call: Call, trouble: Trouble | None = None) -> Answer:
    return think(call, OutputTokens(), trouble)


def test_a_translation_is_prose_of_its_language_with_all_that_must_stay() -> None:
    answer = said(TRANSLATION)
    lines = answer.text.split("\n")
    assert len(lines) == 2
    for kept in ("[job:a1]", "12"):
        assert kept in lines[0]
    for kept in ("{name}", "<b>", "1418", "</b>", "https://example.org/a"):
        assert kept in lines[1]
    french = {word for sentence in SENTENCES["French"] for word in sentence.split()}
    others = [word for word in answer.text.split() if word not in french]
    assert others == ["[job:a1]", "12", "{name}", "<b>", "1418", "</b>", "https://example.org/a"]
    assert answer.lie == ""


def test_a_translation_is_the_same_line_by_line_and_whatever_stands_for_what_stays() -> None:
    whole = translate(Translation(TEXT, "French", {}))
    parts = [translate(Translation(line, "French", {})) for line in TEXT.split("\n")]
    assert "\n".join(parts) == whole
    hidden = translate(Translation(TEXT.replace("https://example.org/a", "<x1/>"), "French", {}))
    assert hidden.replace("<x1/>", "https://example.org/a") == whole


def test_terms_that_are_demanded_are_used() -> None:
    system = f"{INTO_FRENCH} Use these terms: mill = moulin; pond = étang."
    text = said(read_call("m", (system, "The mill is by the sea."), 500, None)).text
    assert "moulin" in text
    assert "étang" not in text


def test_a_json_object_is_translated_text_by_text() -> None:
    call = read_call("m", (INTO_FRENCH, '{"1":"A mill.","2":"Two of them."}'), 500, SCHEMA)
    assert orjson.loads(said(call).text).keys() == {"1", "2"}


def test_evidence_is_quoted_from_the_text() -> None:
    document = orjson.loads(said(EVIDENCE).text)
    assert {one["path"] for one in document["evidence"]} == {"/name", "/built", "/wheels/0"}
    assert all(one["quote"] in EVIDENCE.question for one in document["evidence"])
    false = orjson.loads(said(EVIDENCE, Trouble.MISQUOTED).text)
    assert false["value"] == document["value"]
    assert not any(one["quote"] in EVIDENCE.question for one in false["evidence"])


@pytest.mark.parametrize("trouble", OF_SCHEMAS)
@pytest.mark.parametrize("call", [DOCUMENT, EVIDENCE], ids=["document", "evidence"])
def test_a_document_that_lies_breaks_its_schema(trouble: Trouble, call: Call) -> None:
    assert call.schema is not None
    answer = said(call, trouble)
    assert answer.lie == trouble
    try:
        document = orjson.loads(answer.text)
    except orjson.JSONDecodeError:
        assert trouble is Trouble.INVALID_JSON
    else:
        assert not jsonschema_rs.is_valid(dict(call.schema), document)


@pytest.mark.parametrize("call", [DOCUMENT, EVIDENCE, TRANSLATION, PLAIN])
@pytest.mark.parametrize("trouble", [*OF_ALL, *OF_SCHEMAS, *OF_TRANSLATIONS, Trouble.SLOPPY])
def test_a_lie_says_something_else_than_the_truth_and_is_named(
    call: Call, trouble: Trouble
) -> None:
    honest = said(call)
    answer = said(call, trouble)
    assert answer.truth == honest.truth
    if may_happen(trouble, call):
        assert answer.lie == trouble
        assert answer.text != honest.text
    else:
        assert (answer.lie, answer.text) == ("", honest.text)


def test_the_truth_is_known_by_its_fingerprint() -> None:
    assert said(PLAIN).truth == fingerprint(said(PLAIN).text)
    document = orjson.loads(said(DOCUMENT).text)
    backwards = dict(reversed(document.items()))
    assert said(DOCUMENT).truth == fingerprint(document) == fingerprint(backwards)
    assert said(DOCUMENT).truth != fingerprint({**document, "built": 7})


def test_lies_of_a_kind_are_told_only_where_they_can_be() -> None:
    for trouble in OF_SCHEMAS:
        assert not may_happen(trouble, PLAIN)
        assert not may_happen(trouble, None)
    for trouble in OF_TRANSLATIONS:
        assert not may_happen(trouble, PLAIN)
        assert may_happen(trouble, TRANSLATION)
    assert not may_happen(Trouble.MISQUOTED, DOCUMENT)
    assert may_happen(Trouble.MISQUOTED, EVIDENCE)
    without = read_call("m", (INTO_FRENCH, "A mill."), 500, None)
    assert not may_happen(Trouble.LOST_PLACEHOLDER, without)
    assert not may_happen(Trouble.CHANGED_NUMBER, without)


def test_a_loop_fills_all_the_room_and_is_paid_for() -> None:
    answer = said(PLAIN, Trouble.LOOP)
    assert (answer.finish, answer.output_tokens) == (Finish.TRUNCATED, 500)
    assert len(answer.text) == 2000


def test_who_complains_is_understood() -> None:
    """The words of our own complaint are those that the simulator listens for."""
    complaint = NOT_LIKE_THAT.format(fault="it rhymes")
    assert COMPLAINT in complaint
    call = read_call("m", (INTO_FRENCH, TEXT, "a bad answer", complaint), 500, None)
    assert call.is_told
    assert call.question == TEXT
    assert said(call).text == said(TRANSLATION).text


def test_a_model_that_is_told_lies_less() -> None:
    told = read_call("m", ("[job:d] Hello", "a bad answer", f"It {COMPLAINT}."), 500, None)
    faults = Faults([Fault("empty", probability=0.5, told=0.1)], seed=3)
    untold_lies = sum(faults.draw("openai", "m", "", PLAIN) is not None for _ in range(1000))
    told_lies = sum(faults.draw("openai", "m", "", told) is not None for _ in range(1000))
    assert 430 < untold_lies < 570
    assert 60 < told_lies < 140
