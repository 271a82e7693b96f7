"""Schemas in the providers' dialects: whatever the user's schema accepts can be said, and comes back."""

import json
import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.kind import Good
from jobs.kinds.references import resolve
from jobs.kinds.schemas import judge_json, read_schema
from jobs.tokens import estimate_tokens
from workers.protocols.dialects import (
    ANTHROPIC,
    GEMINI,
    MISTRAL,
    OPENAI,
    PLAIN_STRICT,
    Dialect,
)
from workers.protocols.schemas import form_of

DIALECTS = {"openai": OPENAI, "mistral": MISTRAL, "anthropic": ANTHROPIC, "gemini": GEMINI}
TEXT = {"type": "string"}
NULL = {"type": "null"}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def inside(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}, "required": ["a"]}


def sent(schema: dict[str, Any], dialect: Dialect = PLAIN_STRICT) -> Any:
    native = form_of(inside(schema), dialect).native
    return None if native is None else native["properties"]["a"]


PARTS: list[tuple[Dialect, Any, Any]] = [
    (OPENAI, {"type": ["string", "null"], "title": "T"}, {"title": "T", "anyOf": [TEXT, NULL]}),
    (OPENAI, {"oneOf": [TEXT, NULL]}, {"anyOf": [TEXT, NULL]}),
    (OPENAI, {"const": "x"}, {"type": "string", "enum": ["x"]}),
    (
        OPENAI,
        {"enum": ["x", 1, 2, None]},
        {"anyOf": [{"type": "string", "enum": ["x"]}, {"type": "integer", "enum": [1, 2]}, NULL]},
    ),
    (OPENAI, {"type": "string", "enum": ["x", 1]}, {"type": "string", "enum": ["x"]}),
    (OPENAI, {"enum": [True]}, {"type": "boolean"}),
    (OPENAI, {"enum": [[1]]}, None),
    (
        OPENAI,
        {"type": "string", "maxLength": 3, "description": "A name."},
        {"type": "string", "description": "A name. (maxLength: 3)"},
    ),
    (OPENAI, {"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
    (
        OPENAI,
        {"type": "string", "format": "uri"},
        {"type": "string", "description": "(format: uri)"},
    ),
    (ANTHROPIC, {"type": "string", "format": "uri"}, {"type": "string", "format": "uri"}),
    (
        ANTHROPIC,
        {"type": "integer", "minimum": 1},
        {"type": "integer", "description": "(minimum: 1)"},
    ),
    (GEMINI, {"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 1}),
    (OPENAI, closed([], b=TEXT), closed(["b"], b={"anyOf": [TEXT, NULL]})),
    (OPENAI, closed([], b={"type": ["string", "null"]}), closed(["b"], b={"anyOf": [TEXT, NULL]})),
    (ANTHROPIC, closed([], b=TEXT), closed([], b=TEXT)),
    (
        GEMINI,
        {"type": "object", "properties": {"b": TEXT}},
        {"type": "object", "properties": {"b": TEXT}},
    ),
    (OPENAI, closed([], b=TEXT, c=False), closed(["b"], b={"anyOf": [TEXT, NULL]})),
    (OPENAI, {"type": "object"}, None),
    (OPENAI, {"type": "object", "additionalProperties": False}, {**closed([]), "required": []}),
    (OPENAI, {"type": "object", "properties": {"b": TEXT}, "additionalProperties": True}, None),
    (OPENAI, {"type": "object", "additionalProperties": TEXT}, None),
    (GEMINI, {"type": "object", "additionalProperties": TEXT}, None),
    (OPENAI, {"type": "object", "patternProperties": {"^x": TEXT}}, None),
    (OPENAI, {"type": "object", "properties": {"b": TEXT}, "required": ["c"]}, None),
    (OPENAI, {"type": "object", "properties": {"b": TEXT}, "then": {}}, None),
    (
        OPENAI,
        {"properties": {"b": TEXT}, "required": ["b"], "not": {"const": 1}},
        closed(["b"], b=TEXT),
    ),
    (OPENAI, {}, None),
    (OPENAI, True, None),
    (OPENAI, {"type": "array"}, None),
    (
        OPENAI,
        {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True},
        {"type": "array", "items": TEXT, "minItems": 1, "description": "(uniqueItems: True)"},
    ),
    (OPENAI, {"type": "array", "prefixItems": [TEXT], "items": False}, None),
    (
        GEMINI,
        {"type": "array", "prefixItems": [TEXT], "items": False},
        {"type": "array", "prefixItems": [TEXT], "maxItems": 1},
    ),
    (OPENAI, {"allOf": [TEXT], "description": "D"}, {"type": "string", "description": "D"}),
    (
        OPENAI,
        {"allOf": [closed(["b"], b=TEXT), closed(["c"], c=TEXT)]},
        closed(["b", "c"], b=TEXT, c=TEXT),
    ),
    (OPENAI, {"allOf": [TEXT, {"type": "null"}]}, None),
    (
        OPENAI,
        {**closed([], b=TEXT), "anyOf": [{"required": ["b"]}, {}]},
        closed(["b"], b={"anyOf": [TEXT, NULL]}),
    ),
    (OPENAI, {**closed([], b=TEXT), "anyOf": [inside(TEXT), {}]}, None),
    (OPENAI, {"$ref": "http://127.0.0.1/x"}, None),
]


@pytest.mark.parametrize(("dialect", "schema", "expected"), PARTS)
def test_each_part_of_a_schema_has_its_form_or_none(
    dialect: Dialect, schema: Any, expected: Any
) -> None:
    assert sent(schema, dialect) == expected


def test_a_reference_leads_to_a_definition_wherever_it_led() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/properties/b", "description": "dropped: it stands beside"},
            "b": closed(["t"], t=TEXT),
            "c": {"$ref": "#/definitions/x~1y"},
            "d": {"$ref": "#/definitions/x~1y"},
        },
        "required": ["a", "b", "c", "d"],
        "definitions": {"x/y": {"enum": [1]}},
    }
    native = form_of(schema, OPENAI).native
    assert native is not None
    assert native["properties"]["a"] == {"$ref": "#/$defs/b"}
    assert native["properties"]["c"] == native["properties"]["d"] == {"$ref": "#/$defs/x_1y"}
    assert native["$defs"] == {
        "b": closed(["t"], t=TEXT),
        "x_1y": {"type": "integer", "enum": [1]},
    }


TREE = {
    "type": "object",
    "properties": {"name": TEXT, "parts": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name"],
}


def test_a_recursive_schema_is_sent_where_cycles_are_taken() -> None:
    native = form_of(TREE, OPENAI).native
    assert native is not None
    jsonschema_rs.validator_for(native).validate(
        {"name": "a", "parts": [{"name": "b", "parts": None}]}
    )
    assert form_of(TREE, ANTHROPIC).native is None
    assert form_of(TREE, GEMINI).native is None


def test_what_is_beyond_a_limit_is_asked_for_in_words() -> None:
    many = {"type": "object", "properties": {f"p{n}": TEXT for n in range(25)}}
    assert form_of(many, ANTHROPIC).native is None
    assert form_of({**many, "required": ["p7"]}, ANTHROPIC).native is not None
    deep: dict[str, Any] = TEXT
    for _ in range(11):
        deep = inside(deep)
    assert form_of(deep, OPENAI).native is None
    assert form_of(deep, ANTHROPIC).native is not None
    values = {"type": "string", "enum": [str(n) for n in range(1_001)]}
    assert sent(values, OPENAI) is None


def test_a_chain_of_references_has_an_end() -> None:
    definitions = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, NULL]} for n in range(3_000)}
    schema = {**inside({"$ref": "#/$defs/d0"}), "$defs": {**definitions, "d3000": TEXT}}
    assert form_of(schema, OPENAI).native is None


def test_what_is_written_again_and_again_has_an_end() -> None:
    wide = {"anyOf": [{"type": "string", "title": str(n)} for n in range(2_000)]}
    again = {str(n): {"allOf": [{"$ref": "#/$defs/wide"}]} for n in range(3_000)}
    schema = {"type": "object", "properties": again, "$defs": {"wide": wide}}
    since_s = time.process_time()
    assert form_of(schema, GEMINI).native is None
    assert time.process_time() - since_s < 2.0


def test_a_schema_is_translated_once() -> None:
    assert form_of(inside(TEXT), OPENAI) is form_of(json.loads(json.dumps(inside(TEXT))), OPENAI)


NAMES = ["a", "b", "c", "$ref", "enum"]
LEAVES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        TEXT,
        NULL,
        {"type": "boolean"},
        {"type": "integer", "minimum": 0, "maximum": 9},
        {"type": "number"},
        {"type": ["string", "null"], "maxLength": 5},
        {"enum": ["x", 1, None]},
        {"const": True},
        {"$ref": "#/$defs/node"},
    ]
)


def objects(parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda properties, required, is_closed: {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name in required],
            **({"additionalProperties": False} if is_closed else {}),
        },
        st.dictionaries(st.sampled_from(NAMES), parts, min_size=1, max_size=4),
        st.sets(st.sampled_from(NAMES)),
        st.booleans(),
    )


def can_be_told_apart(schema: dict[str, Any]) -> bool:
    """Whether alternatives that are objects have different properties, as far as they can be seen."""
    choices = [choice for choice in flat(schema) if "properties" in choice or "$ref" in choice]
    return len({frozenset(choice.get("properties", ())) for choice in choices}) == len(choices)


def flat(schema: dict[str, Any]) -> list[dict[str, Any]]:
    choices = schema.get("anyOf")
    return [schema] if choices is None else [leaf for choice in choices for leaf in flat(choice)]


PART = st.recursive(
    LEAVES,
    lambda inner: (
        objects(inner)
        | st.builds(lambda items: {"type": "array", "items": items}, inner)
        # Not oneOf: a null that is said for what is missing can make a second alternative fit.
        | st.builds(
            lambda choices: {"anyOf": choices}, st.lists(inner, min_size=1, max_size=2)
        ).filter(can_be_told_apart)
    ),
    max_leaves=6,
)
NODE = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/node"}, "v": {"type": "integer"}},
    "required": ["v"],
}
SCHEMAS = objects(PART).map(lambda schema: {**schema, "$defs": {"node": NODE}})


SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    "integer": st.integers(0, 9),
    "number": st.floats(-100, 100),
    "boolean": st.booleans(),
    "null": st.none(),
    None: st.just(True),  # the constant
}


def value_of(schema: Any, root: dict[str, Any], data: st.DataObject, depth: int = 0) -> Any:
    """Draw a value that the schema accepts, with the declared properties alone."""
    schema = resolve(root, schema)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return value_of(data.draw(st.sampled_from(choices)), root, data, depth)
    if listed := schema.get("enum"):
        return data.draw(st.sampled_from(listed))
    if schema.get("type") == "object":
        return {
            name: value_of(inner, root, data, depth + 1)
            for name, inner in schema["properties"].items()
            if name in schema["required"] or (depth < 4 and data.draw(st.booleans()))
        }
    if schema.get("type") == "array":
        count = data.draw(st.integers(0, 2))
        return [value_of(schema["items"], root, data, depth + 1) for _ in range(count)]
    named = schema.get("type")
    text = st.text("xyé{", max_size=5)
    return data.draw(text if isinstance(named, list) else SCALARS.get(named, text))


def written(value: Any, native: Any, root: dict[str, Any]) -> Any:
    """Return the value as a model under the native schema has to write it: with every property."""
    native = resolve(root, native)
    for choice in native.get("anyOf", ()):
        full = written(value, choice, root)
        if jsonschema_rs.is_valid({**choice, "$defs": root.get("$defs", {})}, full):
            return full
    named = native.get("properties")
    if isinstance(value, dict) and named is not None and set(value) <= set(named):
        return {
            name: written(value[name], inner, root) if name in value else None
            for name, inner in named.items()
            if name in value or name in native.get("required", ())
        }
    if isinstance(value, list) and "items" in native:
        return [written(item, native["items"], root) for item in value]
    return value


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same; null and missing are, where the user's schema takes both."""
    if isinstance(left, dict) and isinstance(right, dict):
        return all(same(left.get(name), right.get(name)) for name in {*left, *right})
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@given(schema=SCHEMAS, data=st.data())
def test_every_value_can_be_said_and_comes_back(
    dialect: Dialect, schema: dict[str, Any], data: st.DataObject
) -> None:
    native = form_of(schema, dialect).native
    value = value_of(schema, schema, data)
    checked = read_schema(json.dumps(schema).encode())
    checked.validator.validate(value)
    if native is None:
        return
    said = written(value, native, native)
    jsonschema_rs.validator_for(native).validate(said)
    verdict = judge_json(json.dumps(said), checked)
    assert isinstance(verdict, Good)
    assert same(verdict.output, value)


def is_obedient(schema: Any, dialect: Dialect) -> bool:
    """Whether a translated schema has what its dialect demands of each of its parts."""
    if isinstance(schema, list):
        return all(is_obedient(item, dialect) for item in schema)
    if schema.get("type") == "object":
        names = set(schema["properties"])
        if dialect.requires_all and set(schema["required"]) != names:
            return False
        if dialect.closes and schema["additionalProperties"] is not False:
            return False
    allowed = dialect.keeps | {"type", "title", "description", "enum", "anyOf", "$ref", "$defs"}
    allowed |= {"properties", "required", "additionalProperties", "items"}
    inner = [schema[word] for word in ("items", "anyOf", "prefixItems") if word in schema]
    inner += [list(schema[word].values()) for word in ("properties", "$defs") if word in schema]
    return set(schema) <= allowed and all(is_obedient(part, dialect) for part in inner)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@given(schema=SCHEMAS)
def test_what_is_sent_is_in_the_dialect(dialect: Dialect, schema: dict[str, Any]) -> None:
    form = form_of(schema, dialect)
    assert form.is_object
    assert form.native is None or is_obedient(form.native, dialect)
    assert form.native is not None or dialect is not OPENAI


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@given(schema=SCHEMAS)
def test_what_is_sent_has_fewer_tokens_than_were_reserved(
    dialect: Dialect, schema: dict[str, Any]
) -> None:
    """Money is reserved for a token a byte of the user's schema, of which the form may be longer."""
    form = form_of(schema, dialect)
    if form.native is not None:
        assert estimate_tokens(json.dumps(form.native, separators=(",", ":"))) <= len(form.document)
