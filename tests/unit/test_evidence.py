"""Evidence: a quote holds if it occurs in the text, however its white space is set."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.evidence import MAX_QUOTES, Source, checked, with_evidence
from jobs.kinds.schemas import compiled, judge_json

TEXT = "The mill at  Eling\nwas “rebuilt” in 1785 –\n\n   it still grinds."

FOUND = [
    ("The mill", "The mill"),
    (" 1785 ", "1785"),
    ("mill at Eling was", "mill at  Eling\nwas"),
    ('was "rebuilt" in 1785 - it', "was “rebuilt” in 1785 –\n\n   it"),
    ("Elingwas", "Eling\nwas"),
    ("grinds.", "grinds."),
    ("grinds.\n", "grinds."),
]


@pytest.mark.parametrize(("quote", "words"), FOUND)
def test_a_quote_is_found_where_its_words_stand(quote: str, words: str) -> None:
    span = Source(TEXT).find(quote)
    assert span is not None
    assert TEXT[span[0] : span[1]] == words


@pytest.mark.parametrize("quote", ["", "  ", "the mill", "1786", "rebuilt in", "grinds. Yes"])
def test_what_the_text_does_not_say_is_not_found(quote: str) -> None:
    assert Source(TEXT).find(quote) is None


WORDS = st.lists(st.text("ab“é", min_size=1, max_size=4), min_size=1, max_size=12)
GAPS = st.sampled_from([" ", "\n", "  ", "\u00a0\t"])


@given(words=WORDS, data=st.data())
def test_any_words_of_the_text_are_found(words: list[str], data: st.DataObject) -> None:
    text = "".join(word + data.draw(GAPS) for word in words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    quote = "".join(word + data.draw(GAPS) for word in words[first : last + 1])
    span = Source(text).find(quote)
    assert span is not None
    assert "".join(text[span[0] : span[1]].split()) == "".join(quote.split())


VALUE = {"name": "Eling", "years": [1785, 1786], "owner": {"since": 1975}, "gone": None, "a.b": 1}

PATHS = [
    ("/name", "/name"),
    ("name", "/name"),
    ("$.name", "/name"),
    ("/value/name", "/name"),
    ("/years/1", "/years/1"),
    ("years[1]", "/years/1"),
    ("$.years[1]", "/years/1"),
    ("years.1", "/years/1"),
    ("/owner/since", "/owner"),
    ("/a.b", "/a.b"),
    ("/years", None),
    ("/years/2", None),
    ("/gone", None),
    ("", None),
    ("/", None),
    ("nothing", None),
]


@pytest.mark.parametrize(("path", "unit"), PATHS)
def test_a_path_leads_to_its_unit_however_it_is_written(path: str, unit: str | None) -> None:
    evidence, missing = checked(VALUE, [{"path": path, "quote": "mill"}], Source(TEXT))
    assert [found["path"] for found in evidence] == ([] if unit is None else [unit])
    assert set(missing) == {"/name", "/years/0", "/years/1", "/owner", "/a.b"} - {unit}


def test_the_evidence_says_where_in_the_text_it_stands() -> None:
    quotes = [
        {"path": "/0", "quote": "at Eling"},
        {"path": "/0", "quote": "at  Eling"},
        {"path": "/1", "quote": "in 1786"},
    ]
    assert checked([5, 6], quotes, Source(TEXT)) == (
        [{"path": "/0", "quote": "at  Eling", "start": 9, "end": 18}],
        {"/1": "in 1786"},
    )


def test_so_many_quotes_are_looked_for_and_no_more() -> None:
    quotes = [{"path": "/0", "quote": "no"}] * MAX_QUOTES + [{"path": "/0", "quote": "mill"}]
    assert checked([5], quotes[1:], Source(TEXT))[1] == {}
    assert checked([5], quotes, Source(TEXT))[1] == {"/0": "no"}


def test_a_value_of_one_unit_has_the_empty_path() -> None:
    assert checked("Eling", [{"path": "", "quote": "Eling"}], Source(TEXT))[1] == {}


SCHEMAS: list[tuple[dict[str, Any], Any, Any]] = [
    ({"type": "integer"}, 5, "x"),
    ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, 5, "x"),
    (
        {"properties": {"next": {"$ref": "#"}, "$ref": {"type": "integer"}}, "type": "object"},
        {"next": {"next": {"$ref": 1}}},
        {"next": {"next": {"$ref": "x"}}},
    ),
    (
        {"$id": "http://x/y", "$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}},
        5,
        "x",
    ),
    (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"n": {"const": {"$ref": "#"}}},
            "items": [{"$ref": "#/definitions/n"}],
        },
        [{"$ref": "#"}],
        [1],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), SCHEMAS)
def test_a_schema_means_the_same_within_that_of_its_evidence(
    schema: dict[str, Any], good: Any, bad: Any
) -> None:
    validator = compiled(with_evidence(schema)).validator
    assert validator.is_valid({"value": good, "evidence": [{"path": "", "quote": "x"}]})
    assert not validator.is_valid({"value": bad, "evidence": []})
    assert not validator.is_valid({"value": good})


def test_nulls_for_optional_properties_are_dropped_under_evidence_as_well() -> None:
    schema = compiled(
        with_evidence(
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/t"}},
                "$defs": {"t": {"type": "string"}},
            }
        )
    )
    verdict = judge_json('{"value": {"a": null}, "evidence": []}', schema)
    assert getattr(verdict, "output", None) == {"value": {}, "evidence": []}


@pytest.mark.parametrize("piece", ["a", "ab", " ", "a ", "“"])
def test_quotes_of_a_hostile_text_are_looked_for_in_a_moment(piece: str) -> None:
    source = Source(piece * (1_000_000 // len(piece)))
    since_s = time.process_time()
    for number in range(5):
        source.find(piece * 50_000 + f"b{number}")
        source.find(f"{number}b" + piece * 50_000)
    assert time.process_time() - since_s < 3.0
