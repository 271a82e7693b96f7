"""What the simulated model says, and the words that a simulator is started with."""

from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import jsonschema_rs
import orjson
import pytest

from scripts.simulator import parse_arguments
from scripts.simulator.calls import Answer, Finish, find_job_id, read_call
from scripts.simulator.faults import Fault, parse_fault
from scripts.simulator.latency import Latency, parse_latency
from scripts.simulator.limits import Limit
from scripts.simulator.model import think
from scripts.simulator.options import OutputTokens, SimulatorOptions, parse_output_tokens
from scripts.simulator.prices import DEFAULT_PRICES, Price
from scripts.simulator.schemas import MOST_DEMANDED, is_closed, requires_everything, satisfy
from scripts.simulator.troubles import Trouble

SCHEMAS: list[dict[str, Any]] = [
    {"type": "object"},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3},
    {"type": ["null", "string"], "minLength": 40},
    {"enum": ["red", "green"]},
    {"const": 7},
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 3},
            "count": {"type": "integer", "minimum": 5, "multipleOf": 4},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 10},
            "low": {"type": "integer", "maximum": -3},
            "done": {"type": "boolean"},
            "nothing": {"type": "null"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
            "none": {"type": "array", "maxItems": 0},
            "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        },
        "required": ["name", "count", "extra"],
    },
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["label"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
    {"type": "object", "properties": {"any": True}, "unevaluatedProperties": False},
    {"type": "array", "prefixItems": [{"type": "integer"}, True], "items": False},
]


def answer_to(
    text: str = "[job:j1] hello",
    *,
    lengths: OutputTokens = OutputTokens(),  # noqa: B008 - frozen
    max_tokens: int | None = None,
    schema: dict[str, Any] | None = None,
    trouble: Trouble | None = None,
) -> Answer:
    return think(read_call("sim-small", (text,), max_tokens, schema), lengths, trouble)


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        ("[job:a-1] and [job:b]", "a-1"),
        ("before\n[job: ü [x] ", " ü [x"),
        ("[job:]", ""),
        ("[job:open", ""),
        ("no mark", ""),
    ],
)
def test_the_first_mark_in_a_text_names_the_job(text: str, job_id: str) -> None:
    assert find_job_id(text) == job_id


def test_the_same_prompt_has_the_same_answer_and_another_prompt_another() -> None:
    assert answer_to() == answer_to()
    assert answer_to().text != answer_to("[job:j1] hallo").text
    assert answer_to().text.startswith("[job:j1] ")


def test_an_answer_is_as_long_as_its_tokens() -> None:
    assert len(answer_to(lengths=OutputTokens(9000, 9000)).text) == 36_000


def test_lengths_come_from_the_job_and_fill_their_range() -> None:
    lengths = OutputTokens(10, 14)
    drawn = [answer_to(f"[job:{n}]", lengths=lengths).output_tokens for n in range(200)]
    assert set(drawn) == {10, 11, 12, 13, 14}
    assert drawn == [answer_to(f"[job:{n}]", lengths=lengths).output_tokens for n in range(200)]


def test_max_tokens_cut_an_answer_short() -> None:
    answer = answer_to(max_tokens=8)
    assert (answer.finish, answer.output_tokens) == (Finish.TRUNCATED, 8)
    assert answer_to(max_tokens=20).finish is Finish.COMPLETE


def test_a_refusal_and_an_early_stop_can_be_asked_for() -> None:
    refusal = answer_to(trouble=Trouble.REFUSAL)
    assert (refusal.finish, refusal.output_tokens) == (Finish.REFUSED, 0)
    assert answer_to(trouble=Trouble.LENGTH).finish is Finish.TRUNCATED


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_document_satisfies_its_schema(schema: dict[str, Any]) -> None:
    jsonschema_rs.validate(schema, orjson.loads(answer_to(schema=schema).text))


def test_a_document_of_a_schema_that_requires_itself_ends() -> None:
    endless = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert orjson.loads(answer_to(schema=endless).text)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_document_violates_its_schema_where_that_is_the_fault(schema: dict[str, Any]) -> None:
    document = orjson.loads(answer_to(schema=schema, trouble=Trouble.SCHEMA).text)
    assert not jsonschema_rs.is_valid(schema, document)


def test_the_demands_on_schemas_look_at_every_level() -> None:
    inner: dict[str, Any] = {"type": "object", "properties": {"type": {"type": "string"}}}
    outer: dict[str, Any] = {
        "type": "object",
        "properties": {"list": {"type": "array", "items": inner}},
        "required": ["list"],
        "additionalProperties": False,
    }
    assert not is_closed(outer)
    assert not requires_everything(outer)
    inner |= {"additionalProperties": False, "required": ["type"]}
    assert is_closed(outer)
    assert requires_everything(outer)


def test_latencies_follow_their_distribution() -> None:
    random = Random(1)  # noqa: S311 - repeatable on purpose
    constant, uniform, lognormal = (
        [parse_latency(text).draw_s(random) for _ in range(4000)]
        for text in ("constant:20", "uniform:500,30", "lognormal:5000,1,60000")
    )
    assert set(constant) == {0.02}
    assert min(uniform) >= 0.35
    assert max(uniform) <= 0.65
    assert median(uniform) == pytest.approx(0.5, rel=0.05)
    assert median(lognormal) == pytest.approx(5.0, rel=0.1)
    assert max(lognormal) == 60.0


@pytest.mark.parametrize(
    "text",
    ["5", "constant:", "constant:-1", "constant:nan", "constant:inf", "uniform:5,101", "x:1"],
)
def test_a_latency_that_cannot_be_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match="latency"):
        parse_latency(text)


@pytest.mark.parametrize("text", ["constant:20", "uniform:500,30", "lognormal:5000,1,60000"])
def test_a_latency_is_shown_as_it_is_written(text: str) -> None:
    assert str(parse_latency(text)) == text


@pytest.mark.parametrize("text", ["0", "many", "5-", "9-5", "-3"])
def test_lengths_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="output tokens"):
        parse_output_tokens(text)


def test_a_fault_is_read_from_a_word() -> None:
    assert parse_fault("429:wait_s=2,probability=0.1,protocol=openai") == Fault(
        kind="429", wait_s=2.0, probability=0.1, protocol="openai"
    )
    for text in ("gremlins", "hang:times=0", "hang:often", "429:kinds=3"):
        with pytest.raises(ValueError, match=f"fault '{text}'"):
            parse_fault(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.org", "::"])  # noqa: S104 - refused
def test_the_simulator_refuses_to_leave_the_machine(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        SimulatorOptions(host=host)


def test_the_command_line_says_everything() -> None:
    words = (
        "--port 8099 --seed 3 --latency constant:5 --output-tokens 3-4 --limit openai:rpm=5 "
        "--limit :tpm=9 --fault hang --price m=1/2 --cached-percent 50 --ledger l.jsonl --fsync"
    )
    assert parse_arguments(words.split()) == SimulatorOptions(
        port=8099,
        seed=3,
        latency=Latency("constant", 5.0),
        output_tokens=OutputTokens(3, 4),
        limits=(Limit(protocol="openai", rpm=5), Limit(tpm=9)),
        faults=(Fault(kind="hang"),),
        prices={**DEFAULT_PRICES, "m": Price(1_000_000, 2_000_000)},
        cached_percent=50,
        ledger=Path("l.jsonl"),
        fsync=True,
    )


@pytest.mark.parametrize(
    "argument", ["--host=8.8.8.8", "--latency=x", "--limit=:rpm=0", "--cached-percent=101"]
)
def test_a_wrong_argument_ends_with_its_reason(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_arguments([argument])
    assert argument.partition("=")[2] in capsys.readouterr().err


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 10**18},
        {"type": "string", "minLength": 10**18},
        {
            "type": "array",
            "minItems": 10**5,
            "items": {"type": "array", "minItems": 10**5, "items": {"minLength": 10**5}},
        },
    ],
)
def test_what_a_schema_may_demand_is_bounded(schema: dict[str, Any]) -> None:
    assert len(orjson.dumps(satisfy(schema, "it"))) < 20 * MOST_DEMANDED
