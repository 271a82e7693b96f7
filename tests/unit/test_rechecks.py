"""What each kind says of an output that it has brought, when something else is asked for."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.defaults import JobDefaults
from jobs.exchange import Answer, Finish
from jobs.kinds import KINDS
from jobs.kinds.kind import Bad, Good, Plan, Verdict
from jobs.kinds.translation.protection import protect
from jobs.lines import rebuild

MILL = "The mill at Eling stands by the water, and it has been rebuilt by {name} again and again."
MILL_IN_FRENCH = (
    "Le moulin d'Eling se trouve au bord de l'eau, et il a été reconstruit par {name} à plusieurs "
    "reprises."
)


def plan(kind: str, line: dict[str, Any], **defaults: str) -> Plan:
    text = json.dumps({"custom_id": "1", "model": "m", **line})
    return KINDS[kind].plan(rebuild(kind, text, JobDefaults.from_query(defaults)))


def brought(made: Plan, *texts: str) -> Any:
    """Return the output, as JSON has it, of a plan that was answered so."""
    kept: list[Any] = []
    for text in texts:
        verdict = made.judge(kept, Answer(text, Finish.COMPLETE, None))
        assert isinstance(verdict, Good), verdict
        kept.append(verdict.output)
    joined = made.join(kept)
    assert isinstance(joined, Good), joined
    return msgspec.json.decode(msgspec.json.encode(joined.output))


def code(verdict: Verdict | None) -> str | None:
    assert verdict is not None
    return verdict.code if isinstance(verdict, Bad) else None


def test_a_generated_value_is_judged_by_the_new_schema() -> None:
    was = plan("generation", {"prompt": "x"}, schema='{"type":"object"}')
    output = brought(was, '{"a": 1}')
    same = plan("generation", {"prompt": "x"}, schema='{"required":["a"]}')
    other = plan("generation", {"prompt": "x"}, schema='{"required":["b"]}')
    assert same.recheck(output, was) == Good({"a": 1})
    assert code(other.recheck(output, was)) == "schema_violation"


def test_a_string_that_a_schema_asked_for_is_no_text() -> None:
    was = plan("generation", {"prompt": "x"}, schema='{"type":"string"}')
    output = brought(was, '"five"')
    assert plan("generation", {"prompt": "y"}, schema='{"type":"string"}').recheck(
        output, was
    ) == Good("five")


def test_every_sample_is_judged() -> None:
    was = plan("generation", {"prompt": "x", "n": 2})
    output = brought(was, '{"a": 1}', "five")
    strict = plan("generation", {"prompt": "x", "n": 2}, schema="{}")
    assert code(strict.recheck(output, was)) == "invalid_json"
    assert plan("generation", {"prompt": "y", "n": 2}).recheck(output, was) == Good(output)
    assert plan("generation", {"prompt": "x", "n": 3}).recheck(output, was) is None


def test_a_text_that_may_have_been_cut_off_is_asked_for_again_where_it_may_not_be() -> None:
    was = plan("generation", {"prompt": "x"}, keep_truncated="true")
    output = brought(was, "High wa")
    assert plan("generation", {"prompt": "x"}).recheck(output, was) is None
    assert was.recheck(output, plan("generation", {"prompt": "x"})) == Good(output)


SCHEMA = '{"type":"object","properties":{"name":{"type":"string"}}}'
QUOTED = '{"value": {"name": "Eling"}, "evidence": [{"path": "/name", "quote": "at Eling"}]}'


def test_an_extraction_is_judged_as_a_whole_however_many_parts_it_had() -> None:
    text = " ".join(f"Mill number {number} stands at Eling." for number in range(300))
    line = {"text": text, "part_tokens": 1000}
    was = plan("extraction", line, schema=SCHEMA)
    assert len(was.requests) > 1
    output = brought(was, *['{"name": "Eling"}'] * len(was.requests))
    strict = plan("extraction", line, schema='{"type":"object","required":["owner"]}')
    assert code(strict.recheck(output, was)) == "schema_violation"
    assert plan("extraction", line, schema=SCHEMA, instructions="x").recheck(output, was) == Good(
        output
    )


def test_evidence_is_looked_for_again_and_can_not_be_made_up() -> None:
    line = {"text": "There is a mill at Eling."}
    was = plan("extraction", line, schema=SCHEMA, evidence="true")
    output = brought(was, QUOTED)
    assert plan("extraction", line, schema=SCHEMA, evidence="true").recheck(output, was) == Good(
        output
    )
    without = plan("extraction", line, schema=SCHEMA)
    assert without.recheck(output, was) == Good({"name": "Eling"})
    assert was.recheck({"name": "Eling"}, without) is None
    forged = {**output, "evidence": [{"path": "/name", "quote": "at Ealing", "start": 0, "end": 1}]}
    assert code(was.recheck(forged, was)) == "evidence_missing"


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ({"target": "fr", "tone": "formal"}, None),
        ({"target": "fr", "glossary": '{"mill":"moulin"}'}, None),
        ({"target": "fr", "glossary": '{"mill":"minoterie"}'}, "glossary_term_missing"),
        ({"target": "de"}, "wrong_language"),
    ],
)
@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ({"text": f"\n{MILL}\n"}, MILL_IN_FRENCH),
        (
            {"text": json.dumps({"k": MILL, "n": 5}), "format": "json"},
            json.dumps({"1": MILL_IN_FRENCH}),
        ),
    ],
)
def test_a_translation_is_judged_as_what_it_is_to_be_now(
    line: dict[str, Any], answer: str, defaults: dict[str, str], expected: str | None
) -> None:
    was = plan("translation", line, target="fr")
    output = brought(was, answer)
    verdict = plan("translation", line, **defaults).recheck(output, was)
    assert code(verdict) == expected
    if isinstance(verdict, Good):
        assert verdict.output == output


def test_a_translation_in_parts_is_judged_as_one() -> None:
    text = "\n\n".join([MILL] * 4)
    was = plan("translation", {"text": text, "part_tokens": 30}, target="fr")
    parts = len(was.requests)
    assert parts > 1
    output = "\n\n".join([MILL_IN_FRENCH] * 4)
    again = plan("translation", {"text": text}, target="fr")
    assert again.recheck(output, was) == Good(output)
    lacking = output.replace("{name}", "quelqu'un", 1)
    assert code(again.recheck(lacking, was)) == "lost_placeholder"


def test_an_address_that_is_lost_is_still_missed() -> None:
    text = f"{MILL} See https://mill.example/a and https://mill.example/a/b."
    was = plan("translation", {"text": text}, target="fr")
    output = brought(was, f"{MILL_IN_FRENCH} Voir <x1/> et <x2/>.")
    assert output.endswith("https://mill.example/a et https://mill.example/a/b.")
    assert was.recheck(output, was) == Good(output)
    assert code(was.recheck(output.replace("/a/b", "/a"), was)) == "lost_placeholder"


WORDS = st.lists(
    st.sampled_from(
        ["mill", "https://a.example/b", "https://a.example", "`code`", '<a href="x">', "</a>", "x"]
    ),
    max_size=12,
)


@given(WORDS)
def test_what_is_hidden_again_is_restored_again(words: list[str]) -> None:
    protected = protect(" ".join(words), "html")
    original = protected.original(protected.text)
    assert protected.original(protected.hidden(original)) == original


def test_a_kind_that_can_not_tell_is_asked_again() -> None:
    was = plan("generation", {"prompt": "x"})
    other = plan("extraction", {"text": "x"}, schema="{}")
    assert Plan.recheck(was, "x", was) is None
    assert was.recheck("x", other) is None
    assert other.recheck("x", was) is None
