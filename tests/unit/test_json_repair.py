"""Repairing JSON: what is plainly meant is put right, nothing is made up, and it takes no time."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.kind import Bad, Good
from jobs.kinds.repair import MAX_TRIED, MAX_VALUES, Repaired, RepairFailed, repair
from jobs.kinds.schemas import Schema, judge_json, read_schema

MENDED: list[tuple[str, Any, str]] = [
    ('```json\n{"a": 1}\n```', {"a": 1}, "a fence"),
    ('```\n{"a": 1}', {"a": 1}, "a fence"),
    ('Here you are:\n\n{"a": 1}\n\nAnything else?', {"a": 1}, "text around the JSON"),
    ('It says "see [2]"…', [2], "text around the JSON"),
    ('{"a": [1, 2,], }', {"a": [1, 2]}, "trailing commas"),
    ('{"a": 1, // one\n "b": /* two */ 2, # three\n "c": 3}', {"a": 1, "b": 2, "c": 3}, "comments"),
    ('{"a": "//no", "b": "# no"}\n', {"a": "//no", "b": "# no"}, ""),
    ("{'a': 'it\\'s \"so\"', 'b\\n': 2}", {"a": 'it\'s "so"', "b\n": 2}, "single quotes"),
    ('{"a": "it\\\'s"}', {"a": "it's"}, ""),
    ('{"a": "x\ny\tz"}', {"a": "x\ny\tz"}, "control characters"),
    ('{"a": None, "b": [True, False]}', {"a": None, "b": [True, False]}, "Python's words"),
    ('{"None": "True", "b": "[}"}', {"None": "True", "b": "[}"}, ""),
]


@pytest.mark.parametrize(("text", "value", "mended"), MENDED)
def test_what_is_plainly_meant_is_put_right(text: str, value: Any, mended: str) -> None:
    assert repair(text) == (Repaired(value, mended),)


def test_several_values_are_all_returned() -> None:
    values = [found.value for found in repair('First {"a": 1}, then [see above] {"a": 2}.')]
    assert values == [{"a": 1}, {"a": 2}]


UNCLEAR = [
    "",
    "It is five.",
    '{"a": }',
    '{"a" 1}',
    '{"a": 1 "b": 2}',
    '{"a": 1,, "b": 2}',
    '{"a": 1,,}',
    "[,]",
    "[,,]",
    "{,}",
    '{"a",}',
    "{a: 1}",
    '{"a": undefined}',
    '{"a": NaN}',
    '{"a": ...}',
    '{"a": "say "no" more"}',
    "['it's']",
    '{"a": 01}',
    '{"a": 1]',
    '{"a": 1}}',
    '"a": {"b": 1}}',
    '{"a": "\\x"}',
    '{"a": "\\ud800"}',
]


@pytest.mark.parametrize("text", UNCLEAR)
def test_what_is_not_plain_is_left_to_the_model(text: str) -> None:
    with pytest.raises(RepairFailed):
        repair(text)


def test_a_part_of_something_broken_is_not_taken_for_the_whole() -> None:
    for text in ['{"x": oops, "y": {"a": 1}}', '[{"a": 1}, {"a": 2}, {"a"', '[{"a": 1} {"a": 2}]']:
        with pytest.raises(RepairFailed):
            repair(text)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
HOLDERS = VALUES.filter(lambda value: isinstance(value, dict | list))


@given(value=HOLDERS, data=st.data())
def test_no_truncated_value_is_completed(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(RepairFailed):
        repair(cut)


class Sloppy:
    """Writes JSON as models do, in a way that hypothesis chooses."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def value(self, value: Any) -> str:
        match value:
            case dict():
                pairs = [f"{self.text(k)}{self.gap()}:{self.value(v)}" for k, v in value.items()]
                return "{" + self._listed(pairs) + "}"
            case list():
                return "[" + self._listed([self.value(item) for item in value]) + "]"
            case str():
                return self.text(value)
            case None | bool():
                return self._one_of(json.dumps(value), repr(value))
            case _:
                return json.dumps(value)

    def text(self, text: str) -> str:
        written = json.dumps(text, ensure_ascii=self._data.draw(st.booleans()))
        if self._data.draw(st.booleans()):
            written = written.replace("\\n", "\n").replace("\\\n", "\\\\n")
        if "\\" in written or self._data.draw(st.booleans()):
            return json.dumps(text)
        return "'" + written[1:-1].replace("'", "\\'") + "'"

    def gap(self) -> str:
        return self._one_of("", " ", "\n", "// {a} 'comment\n", '/* [ " */', "# no\n")

    def _listed(self, written: list[str]) -> str:
        comma = self._one_of("", ",") if written else ""
        return self.gap() + f",{self.gap()}".join(written) + comma + self.gap()

    def _one_of(self, *texts: str) -> str:
        return self._data.draw(st.sampled_from(texts))


@given(value=HOLDERS, data=st.data())
def test_a_value_survives_however_sloppily_it_is_written(value: Any, data: st.DataObject) -> None:
    written = Sloppy(data).value(value)
    around = data.draw(st.sampled_from(["{}", "```json\n{}\n```", "Well: {}, that's it.", " {} "]))
    (found,) = repair(around.replace("{}", written, 1))
    assert found.value == value


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in (key, *leaves(inner))]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


WORDS = [
    *["{", "}", "[", "]", ":", ",", '"a"', "'b'", '"', "'", "1", "-2.5", "null", "None", "True"],
    *["false", "//", "\n", "/*", "*/", "```", "json", "x", "\\", '"required"', " "],
]


@given(words=st.lists(st.sampled_from(WORDS), max_size=40))
def test_whatever_is_repaired_was_written(words: list[str]) -> None:
    """No key and no value comes from anywhere but the text: a required field is never made up."""
    text = "".join(words)
    try:
        found = repair(text)
    except RepairFailed:
        return
    for repaired in found:
        for leaf in leaves(repaired.value):
            word = {None: "null", True: "true", False: "false"}.get(leaf, leaf)
            pieces = [word, str(word).capitalize(), "None" if leaf is None else word]
            inside = [json.dumps(piece)[1:-1] if piece == leaf else str(piece) for piece in pieces]
            assert isinstance(leaf, int | float) or any(
                piece in text or piece.replace("\\n", "\n") in text for piece in inside
            )


NEEDY = read_schema(b'{"type": "object", "required": ["required"]}')


@given(words=st.lists(st.sampled_from(WORDS), max_size=40))
def test_a_required_field_is_never_made_up(words: list[str]) -> None:
    text = "".join(words)
    if isinstance(judge_json(text, NEEDY), Good):
        assert '"required"' in text


NAMES = ["name", "built", "owner", "wheels"]
SIGNS = st.text(st.sampled_from("ab:,{}[]'\"\\ \n/#"), max_size=6)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": SIGNS,
    "built": st.integers(),
    "owner": st.fixed_dictionaries({}, optional={"name": SIGNS, "since": st.integers()}),
    "wheels": st.lists(SIGNS, max_size=3),
}
TYPES = {"name": "string", "built": "integer", "owner": "object", "wheels": "array"}


def needing(names: list[str], inner: list[str]) -> Schema:
    """Return a schema that requires these fields, and of an owner those."""
    properties: dict[str, Any] = {name: {"type": kind} for name, kind in TYPES.items()}
    types = {"name": {"type": "string"}, "since": {"type": "integer"}}
    properties["owner"] |= {"properties": types, "required": inner}
    document = {"type": "object", "properties": properties, "required": names}
    return read_schema(json.dumps(document).encode())


@given(
    value=st.fixed_dictionaries({}, optional=FIELDS),
    needed=st.lists(st.sampled_from(NAMES), unique=True),
    inner=st.lists(st.sampled_from(["name", "since"]), unique=True),
    nulls=st.lists(st.sampled_from(NAMES), unique=True),
    data=st.data(),
)
def test_an_answer_is_taken_if_nothing_required_is_missing_and_only_then(
    value: dict[str, Any],
    needed: list[str],
    inner: list[str],
    nulls: list[str],
    data: st.DataObject,
) -> None:
    """However it is written; null for a field is no value, it may only stand for one that may be missing."""
    absent = [name for name in nulls if name not in value]
    written = Sloppy(data).value({**value, **dict.fromkeys(absent)})
    is_whole = set(needed) <= set(value) and set(inner) <= set(value.get("owner", inner))
    verdict = judge_json(f"```json\n{written}\n```", needing(needed, inner))
    if is_whole:
        assert isinstance(verdict, Good)
        assert verdict.output == value
    else:
        assert isinstance(verdict, Bad)
        assert verdict.code == "schema_violation"


@given(text=st.text(max_size=60))
def test_any_text_is_repaired_or_refused(text: str) -> None:
    with suppress(RepairFailed):
        assert repair(text)


MEGABYTE = 1_000_000
HOSTILE = {
    "open": "[{" * (MEGABYTE // 2),
    "objects": '{"a":' * (MEGABYTE // 5),
    "closed": "[]" * (MEGABYTE // 2),
    "words": "[x]" * (MEGABYTE // 3),
    "holes": "[" + "," * MEGABYTE + "]",
    "skimmed": "{x} {" * (MEGABYTE // 5),
    "quotes": '["' + '"' * MEGABYTE,
    "apostrophes": "['" + '"' * MEGABYTE + "']",
    "backslashes": '["' + "\\" * MEGABYTE,
    "escapes": "['" + "\\'" * (MEGABYTE // 2),
    "line ends": '["' + "\n" * MEGABYTE + '"]',
    "blanks": "[" + " " * MEGABYTE + "x",
    "comments": "[" + "/*" * (MEGABYTE // 2),
    "digits": "[" + "1" * MEGABYTE + "]",
    "fences": "```" * (MEGABYTE // 3) + "[1]",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_megabyte_takes_a_moment(text: str) -> None:
    """0.6 s at worst where it was measured; in quadratic time it would be an hour."""
    since_s = time.process_time()
    with suppress(RepairFailed):
        repair(text)
    assert time.process_time() - since_s < 5.0


def test_a_text_with_no_end_of_values_is_refused() -> None:
    assert len(repair("[1] " * MAX_VALUES)) == MAX_VALUES
    for text in ["[1] " * (MAX_VALUES + 1), "[x] " * MAX_TRIED + "[1]"]:
        with pytest.raises(RepairFailed, match="too many"):
            repair(text)
