"""Lines of a submission: which are jobs, what is wrong with the others, and what defaults add."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.errors import InvalidParameter, InvalidSubmission, LineFault
from jobs.exchange import Message
from jobs.kinds import KINDS
from jobs.kinds.generation import GenerationLine
from jobs.lines import (
    KEPT_DECODERS,
    JobLine,
    LineReader,
    _decoder,
    rebuild,
)
from jobs.routing import Catalogue
from jobs.tokens import TOKENS_PER_MESSAGE, estimate_request

CATALOGUE = Catalogue(
    Configuration.model_validate(
        {
            "providers": {
                "openai": {
                    "protocol": "openai",
                    "base_url": "https://api.openai.com/v1",
                    "models": ["gpt-4o", "gpt-4o-mini"],
                },
                "mistral": {
                    "protocol": "mistral",
                    "base_url": "https://api.mistral.ai/v1",
                    "models": ["mistral-*"],
                },
            }
        }
    )
)
DEFAULTS = JobDefaults(model="gpt-4o")
HOURS = '{"type": "object", "required": ["hour"]}'


def read(raw: bytes | dict[str, Any], defaults: JobDefaults = DEFAULTS, number: int = 7) -> Any:
    raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return LineReader(defaults, CATALOGUE).read(number, raw)


def good(raw: bytes | dict[str, Any], defaults: JobDefaults = DEFAULTS) -> JobLine:
    job = read(raw, defaults)
    assert isinstance(job, JobLine), job
    return job


def test_a_line_becomes_a_job() -> None:
    raw = b'{"custom_id":"a1", "model":"mistral-small", "prompt":"What hour is it?"}'
    job = good(raw)
    assert (job.custom_id, job.kind, job.model) == ("a1", "generation", "mistral-small")
    assert job.resolved.queue(1, 0) == "mistral"
    assert job.request == raw.decode()
    line = rebuild("generation", job.request, DEFAULTS)
    assert job.estimated_tokens == estimate_request(KINDS["generation"].plan(line).requests[0]) > 4
    assert len(job.fingerprint) == 16


def test_the_tokens_of_a_line_are_counted_in_the_way_that_was_chosen() -> None:
    reader = LineReader(JobDefaults(model="openai/m"), CATALOGUE, count_tokens=len)
    job = reader.read(1, b'{"custom_id":"a","prompt":"12345"}')
    assert isinstance(job, JobLine)
    assert job.estimated_tokens == 5 + TOKENS_PER_MESSAGE


FAULTS: list[tuple[str, bytes | dict[str, Any], str, str, str]] = [
    ("not JSON", b"hello", "invalid_json", "", "expected one JSON object"),
    ("cut off", b'{"custom_id":"a","prompt":"x', "invalid_json", "", "column 27"),
    ("cut off early", b'{"a":', "invalid_json", "", "column 6"),
    ("cut off later", b'{"custom_id":1,"prompt":"x', "invalid_json", "", "column 25"),
    ("two objects", b'{"custom_id":"a","prompt":"x"}{}', "invalid_json", "", "extra data"),
    ("a comma", b'{"custom_id":"a","prompt":"x"},', "invalid_json", "", "column 31"),
    ("an array", b'[{"custom_id":"a","prompt":"x"}]', "wrong_format", "", "one job per line"),
    ("a text", b'"x"', "wrong_format", "", "expected `object`, got `str`"),
    ("not a number", b'{"custom_id":"a","temperature":NaN}', "invalid_number", "", "NaN"),
    ("infinity", b'{"custom_id":"a","top_p":-Infinity}', "invalid_number", "", "-Infinity"),
    ("hidden", b'{"custom_id":"a","schema":{"minimum":NaN}}', "invalid_number", "", "NaN"),
    ("overflow", b'{"custom_id":"a","top_p":1e999}', "number_out_of_range", "top_p", "64 bits"),
    (
        "5,000 digits",
        b'{"custom_id":"a","seed":' + b"9" * 5000 + b"}",
        "number_out_of_range",
        "seed",
        "64 bits",
    ),
    (
        "digits in the schema",
        b'{"custom_id":"a","prompt":"x","schema":{"minimum":' + b"9" * 5000 + b"}}",
        "number_out_of_range",
        "schema",
        "too large",
    ),
    (
        "overflow in the schema",
        b'{"custom_id":"a","prompt":"x","schema":{"minimum":1e999}}',
        "number_out_of_range",
        "schema",
        "too large",
    ),
    ("twice", b'{"custom_id":"a","prompt":"x","prompt":"y"}', "duplicate_key", "prompt", "twice"),
    (
        "twice, disguised",
        b'{"custom_id":"a","prompt":"x","pr\\u006fmpt" : "y"}',
        "duplicate_key",
        "prompt",
        "twice",
    ),
    (
        "twice, deep",
        b'{"custom_id":"a","messages":[{"role":"user","content":"x","content":"y"}]}',
        "duplicate_key",
        "content",
        "twice",
    ),
    (
        "twice in the schema",
        b'{"custom_id":"a","prompt":"x","schema":{"type":"object","type":"string"}}',
        "duplicate_key",
        "type",
        "twice",
    ),
    (
        "a flood of keys",
        json.dumps({"custom_id": "a"} | dict.fromkeys(map(str, range(20_000)))).encode(),
        "too_many_keys",
        "",
        "10,000",
    ),
    (
        "a flood in the schema",
        json.dumps(
            {"custom_id": "a", "prompt": "x", "schema": dict.fromkeys(map(str, range(12_000)))}
        ).encode(),
        "too_many_keys",
        "",
        "10,000",
    ),
    (
        "Latin-1",
        b'{"custom_id":"a","prompt":"\xfc"}',
        "invalid_encoding",
        "",
        "byte 28 of the line",
    ),
    (
        "in the schema",
        b'{"custom_id":"a","schema":{"x":"\xfc"}}',
        "invalid_encoding",
        "",
        "0xfc",
    ),
    ("CESU-8", b'{"custom_id":"a","prompt":"\xed\xa0\x80"}', "invalid_encoding", "", "UTF-8"),
    (
        "half a pair",
        b'{"custom_id":"a","prompt":"\\ud83d"}',
        "invalid_unicode",
        "prompt",
        "surrogate",
    ),
    (
        "its half",
        b'{"custom_id":"a","messages":[{"role":"user","content":"\\uDE00 x"}]}',
        "invalid_unicode",
        "messages[0].content",
        "surrogate",
    ),
    ("a NUL", b'{"custom_id":"a","prompt":"\\u0000"}', "nul_character", "prompt", "NUL"),
    ("a NUL later", b'{"custom_id":"a","prompt":"\\\\\\u0000"}', "nul_character", "prompt", "NUL"),
    (
        "a NUL in a key",
        b'{"custom_id":"a","prompt":"x","schema":{"a":[{"\\u0000":1}]}}',
        "nul_character",
        "schema.a[0]",
        "NUL",
    ),
    ("no id", {"prompt": "x"}, "missing_field", "custom_id", "not there"),
    ("empty id", {"custom_id": "", "prompt": "x"}, "invalid_custom_id", "custom_id", "1 to 512"),
    ("long id", {"custom_id": "x" * 513, "prompt": "x"}, "invalid_custom_id", "custom_id", "512"),
    ("tab", {"custom_id": "a\tb", "prompt": "x"}, "invalid_custom_id", "custom_id", "control"),
    ("C1", {"custom_id": "a\x85", "prompt": "x"}, "invalid_custom_id", "custom_id", "control"),
    ("bidi", {"custom_id": "\u202ea", "prompt": "x"}, "invalid_custom_id", "custom_id", "format"),
    (
        "line end",
        {"custom_id": "a\u2028", "prompt": "x"},
        "invalid_custom_id",
        "custom_id",
        "format",
    ),
    ("a number", {"custom_id": 1, "prompt": "x"}, "wrong_type", "custom_id", "expected `str`"),
    ("true is not 1", {"custom_id": "a", "max_tokens": True}, "wrong_type", "max_tokens", "`int`"),
    ("nor is 1.0", {"custom_id": "a", "max_tokens": 1.0}, "wrong_type", "max_tokens", "`int`"),
    ("nor is '1'", {"custom_id": "a", "seed": "1"}, "wrong_type", "seed", "got `str`"),
    ("no tokens", {"custom_id": "a", "max_tokens": 0}, "out_of_range", "max_tokens", ">= 1"),
    ("null", {"custom_id": "a", "max_tokens": None}, "wrong_type", "max_tokens", "`null`"),
    (
        "too many",
        {"custom_id": "a", "max_tokens": 1_000_001},
        "out_of_range",
        "max_tokens",
        "1000000",
    ),
    ("too hot", {"custom_id": "a", "temperature": 2.1}, "out_of_range", "temperature", "<= 2"),
    ("above one", {"custom_id": "a", "top_p": 1.5}, "out_of_range", "top_p", "<= 1"),
    ("five stops", {"custom_id": "a", "stop": list("abcde")}, "out_of_range", "stop", "<= 4"),
    ("no stop", {"custom_id": "a", "stop": ["a", ""]}, "out_of_range", "stop[1]", ">= 1"),
    ("big seed", {"custom_id": "a", "seed": 2**63}, "out_of_range", "seed", "<= "),
    (
        "no role",
        {"custom_id": "a", "messages": [{"content": "x"}]},
        "missing_field",
        "messages[0].role",
        "not there",
    ),
    (
        "other role",
        {"custom_id": "a", "messages": [{"role": "user", "content": "x"}, {"role": "tool"}]},
        "invalid_value",
        "messages[1].role",
        "`assistant`",
    ),
    (
        "parts",
        {"custom_id": "a", "messages": [{"role": "user", "content": [{"text": "x"}]}]},
        "wrong_type",
        "messages[0].content",
        "expected `str`",
    ),
    (
        "a name",
        {"custom_id": "a", "messages": [{"role": "user", "content": "x", "contents": 1}]},
        "unknown_field",
        "messages[0].contents",
        "`content`?",
    ),
    (
        "typing",
        {"custom_id": "a", "temprature": 1},
        "unknown_field",
        "temprature",
        "`temperature`?",
    ),
    ("case", {"custom_id": "a", "Prompt": "x"}, "unknown_field", "Prompt", "`prompt`?"),
    (
        "theirs",
        {"custom_id": "a", "max_completion_tokens": 1},
        "unknown_field",
        "max_completion_tokens",
        "`max_tokens`?",
    ),
    (
        "another kind's",
        {"custom_id": "a", "target": "fr"},
        "unknown_field",
        "target",
        "those of `translation` have it",
    ),
    ("strange", {"custom_id": "a", "": 1}, "unknown_field", "", "expected custom_id, kind"),
    ("endless", {"custom_id": "a", "z" * 9999: 1}, "unknown_field", "z" * 80, "no such field"),
    ("stream", {"custom_id": "a", "stream": True}, "unsupported_parameter", "stream", "batch"),
    ("tools", {"custom_id": "a", "tools": []}, "unsupported_parameter", "tools", "not supported"),
    (
        "format",
        {"custom_id": "a", "response_format": {}},
        "unsupported_parameter",
        "response_format",
        "`schema`",
    ),
    ("key", {"custom_id": "a", "api_key": "sk-SECRET"}, "secret_in_payload", "api_key", "revoke"),
    (
        "header",
        {"custom_id": "a", "Authorization": "SECRET"},
        "secret_in_payload",
        "Authorization",
        "revoke",
    ),
    (
        "headers",
        {"custom_id": "a", "extra_headers": {"a": "SECRET"}},
        "secret_in_payload",
        "extra_headers",
        "revoke",
    ),
    ("other kind", {"custom_id": "a", "kind": "painting"}, "unknown_kind", "kind", "`generation`"),
    ("kind of kind", {"custom_id": "a", "kind": 1}, "wrong_type", "kind", "expected `str`"),
    (
        "empty model",
        {"custom_id": "a", "model": "", "prompt": "x"},
        "missing_model",
        "model",
        "default",
    ),
    (
        "no such model",
        {"custom_id": "a", "model": "gtp-4o-mini", "prompt": "x"},
        "unknown_model",
        "model",
        "did you mean gpt-4o-mini",
    ),
    (
        "a line end in the model",
        {"custom_id": "a", "model": "openai/m\r\nX: y", "prompt": "x"},
        "invalid_model",
        "model",
        "control",
    ),
    (
        "a model to be read backwards",
        {"custom_id": "a", "model": "openai/\u202em", "prompt": "x"},
        "invalid_model",
        "model",
        "format",
    ),
    ("nothing asked", {"custom_id": "a"}, "missing_prompt", "prompt", "`messages`"),
    (
        "asked twice",
        {"custom_id": "a", "prompt": "x", "messages": []},
        "conflicting_fields",
        "messages",
        "not both",
    ),
    (
        "bad schema",
        {"custom_id": "a", "prompt": "x", "schema": {"type": 1}},
        "invalid_schema",
        "schema",
        "JSON Schema",
    ),
    (
        "another server's schema",
        {"custom_id": "a", "prompt": "x", "schema": {"$ref": "http://127.0.0.1:9/x"}},
        "invalid_schema",
        "schema",
        "nothing is fetched",
    ),
    (
        "a pattern that could run for ever",
        {"custom_id": "a", "prompt": "x", "schema": {"pattern": "(?<=a)b"}},
        "invalid_schema",
        "schema",
        "look-around",
    ),
    (
        "samples of a translation",
        {"custom_id": "a", "kind": "translation", "text": "x", "target": "fr", "n": 2},
        "unknown_field",
        "n",
        "`generation`",
    ),
    ("deep", b'{"custom_id":"a","schema":' + b"[" * 100_000, "too_deep", "", "nested"),
    *(
        (
            f"{levels} levels, and no job besides",
            b'{"schema":' + b"[" * levels + b"]" * levels + b',"custom_id":"\\ud800"}',
            "too_deep",
            "",
            "nested",
        )
        for levels in (300, 900, 1200, 3000, 9000)
    ),
]


@pytest.mark.parametrize(
    ("raw", "code", "field", "said"),
    [fault[1:] for fault in FAULTS],
    ids=[fault[0] for fault in FAULTS],
)
def test_a_bad_line_is_told_which_field_and_what_was_expected(
    raw: bytes | dict[str, Any], code: str, field: str, said: str
) -> None:
    fault = read(raw)
    assert isinstance(fault, LineFault), fault
    assert (fault.line, fault.code, fault.field) == (7, code, field)
    assert said in fault.message
    assert "SECRET" not in fault.message
    assert len(fault.message) < 400


def test_no_default_and_no_model_is_a_missing_model() -> None:
    fault = read({"custom_id": "a", "prompt": "x"}, JobDefaults())
    assert isinstance(fault, LineFault)
    assert fault.code == "missing_model"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"custom_id":"a","prompt":"\\\\u0000"}',
        b'{"custom_id":"a","prompt":"\\ud83d\\ude00"}',
        '{"custom_id":"水車 \u00a0\u200d🎉","prompt":"x"}'.encode(),
        b'{"custom_id":"a","prompt":"x"}\r',
        b' {"prompt":"x" , "custom_id":"a"} ',
        b'{"custom_id":"a","prompt":"x","temperature":0,"top_p":1,"seed":-5,"stop":"END"}',
        b'{"custom_id":"a","kind":"generation","prompt":"x","schema":null,"temperature":null}',
        json.dumps({"custom_id": "x" * 512, "prompt": "x"}).encode(),
        json.dumps({"custom_id": "a", "prompt": "x", "schema": {"minimum": 10**40}}).encode(),
    ],
)
def test_an_unusual_but_right_line_is_taken(raw: bytes) -> None:
    assert good(raw).request == raw.decode()


def test_a_byte_order_mark_is_taken_on_the_first_line_only() -> None:
    raw = b'\xef\xbb\xbf{"custom_id":"a","prompt":"x"}'
    first = read(raw, number=1)
    assert isinstance(first, JobLine)
    assert first.request.startswith("{")
    second = read(raw, number=2)
    assert isinstance(second, LineFault)
    assert second.code == "invalid_json"
    assert "byte order mark" in second.message


def test_a_fault_names_no_line_but_the_one_in_the_body() -> None:
    fault = read(b'{"custom_id":"a",}', number=7)
    assert (fault.line, fault.column) == (7, 18)
    assert "line 1" not in fault.message
    assert "column 18" in fault.message
    # A job of a JSON document has lines of its own.
    assert "(line 2 of the job, column 1)" in read(b'{"custom_id":"a",\n}', number=7).message


@pytest.mark.parametrize(
    ("raw", "column"),
    [
        (b'{"custom_id":"a","prompt":"x"', 30),
        (b'{"custom_id":"a","prompt":"x"}}', 31),
        (b'{"custom_id":"a","prompt":"\xff"}', 28),
        (b'{"custom_id":"a","promt":"x"}', 0),
    ],
)
def test_where_a_line_stops_making_sense_is_told(raw: bytes, column: int) -> None:
    assert read(raw).column == column


def test_a_key_in_a_text_is_no_key() -> None:
    text = '{"a": 1, "a": 2} ' * 20_000
    assert rebuild("generation", good({"custom_id": "a", "prompt": text}).request, DEFAULTS)
    fault = read({"custom_id": "a", "prompt": text, "promt": "x"})
    assert fault.code == "unknown_field"


FULL_DEFAULTS = JobDefaults.from_query(
    {
        "model": "gpt-4o-mini",
        "system": "Be brief.",
        "max_tokens": "300",
        "temperature": "0.5",
        "top_p": "0.9",
        "stop": "END",
        "seed": "42",
        "schema": HOURS,
    }
)


def test_when_to_take_the_next_target_is_said_of_a_batch_and_not_of_a_line() -> None:
    patient = JobDefaults.from_query({"model": "gpt-4o", "failover_after_s": "2.5"})
    assert JobDefaults.from_json(patient.to_json()).failover_after_s == 2.5
    assert good({"custom_id": "a", "prompt": "x"}, patient).model == "gpt-4o"
    fault = read({"custom_id": "a", "prompt": "x", "failover_after_s": 1}, patient)
    assert isinstance(fault, LineFault)
    assert fault.field == "failover_after_s"


def test_a_batchs_parts_may_be_too_short_for_a_kind() -> None:
    short = JobDefaults.from_query({"model": "gpt-4o", "part_tokens": "20"})
    fault = read({"custom_id": "a", "kind": "extraction", "text": "x", "schema": {}}, short)
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("out_of_range", "part_tokens")
    assert isinstance(
        read({"custom_id": "a", "kind": "translation", "text": "x", "target": "fr"}, short), JobLine
    )


def test_defaults_fill_what_a_line_leaves_out() -> None:
    job = good({"custom_id": "a", "prompt": "x"}, FULL_DEFAULTS)
    assert (job.model, job.resolved.queue(1, 0)) == ("gpt-4o-mini", "openai")
    line = rebuild(job.kind, job.request, FULL_DEFAULTS)
    request = KINDS["generation"].plan(line).requests[0]
    assert request.messages == (Message("user", "x"),)
    assert (request.system, request.max_tokens, request.temperature) == ("Be brief.", 300, 0.5)
    assert (request.top_p, request.stop, request.seed) == (0.9, ("END",), 42)
    assert request.schema == json.loads(HOURS)


def test_a_kind_takes_the_defaults_that_its_lines_have() -> None:
    defaults = JobDefaults.from_query(
        {
            "kind": "extraction",
            "model": "gpt-4o",
            "schema": HOURS,
            "instructions": "Of today.",
            "evidence": "true",
            "merge_key": "id",
            "part_tokens": "500",
            "stop": "END",  # which extractions don't have
        }
    )
    job = good({"custom_id": "a", "text": "It is five."}, defaults)
    line = rebuild(job.kind, job.request, defaults)
    assert (line.evidence, line.merge_key, line.part_tokens) == (True, "id", 500)
    (request,) = KINDS["extraction"].plan(line).requests
    assert request.system is not None
    assert request.system.endswith("Of today.")
    assert request.stop == ()


def test_what_a_line_says_goes_before_the_defaults_and_null_says_none() -> None:
    raw = {
        "custom_id": "a",
        "model": "gpt-4o",
        "system": None,
        "prompt": "x",
        "max_tokens": 9,
        "temperature": None,
        "top_p": 1,
        "stop": None,
        "seed": None,
        "schema": None,
    }
    job = good(raw, FULL_DEFAULTS)
    request = KINDS["generation"].plan(rebuild(job.kind, job.request, FULL_DEFAULTS)).requests[0]
    assert job.model == "gpt-4o"
    assert (request.system, request.max_tokens, request.temperature) == (None, 9, None)
    assert (request.top_p, request.stop, request.seed, request.schema) == (1.0, (), None, None)


def test_what_a_line_may_be_does_not_change_with_the_defaults() -> None:
    fault = read({"custom_id": "a", "prompt": "x", "max_tokens": 0}, FULL_DEFAULTS)
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("out_of_range", "max_tokens")
    fault = read({"custom_id": "a", "prompt": "x", "modle": "x"}, FULL_DEFAULTS)
    assert isinstance(fault, LineFault)
    assert "`model`?" in fault.message


def test_stored_defaults_are_read_back_as_they_were() -> None:
    for defaults in (JobDefaults(), FULL_DEFAULTS):
        assert JobDefaults.from_json(defaults.to_json()) == defaults


def test_stored_defaults_do_not_depend_on_what_a_later_version_presumes() -> None:
    assert json.loads(JobDefaults().to_json()).keys() == set(JobDefaults.__struct_fields__)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"max_tokens": "many"}, "`max_tokens`: expected `int`"),
        ({"max_tokens": "0"}, "`max_tokens`: expected `int` >= 1"),
        ({"temperature": "3"}, "`temperature`: expected `float` <= 2"),
        ({"failover_after_s": "-1"}, "`failover_after_s`: expected `float` >= 0"),
        ({"failover_after_s": "nan"}, "`failover_after_s`"),
        ({"failover_after_s": "inf"}, "`failover_after_s`"),
        ({"temprature": "1"}, "did you mean `temperature`?"),
        ({"schema": "{"}, "`schema` expecting property name"),
        ({"schema": '{"type":"string","type":"null"}'}, "`schema` has the key 'type' twice"),
        ({"system": "a\0"}, "NUL"),
        ({"schema": "[]"}, "`schema` expected a JSON Schema object"),
        ({"schema": '{"type":"integr"}'}, "`schema` is not a valid JSON Schema"),
        ({"evidence": "maybe"}, "`evidence`: expected `bool"),
        ({"template": "{{ a() }}"}, "`template` line 1: call is not supported"),
        ({"n": "17"}, "`n`: expected `int` <= 16"),
        ({"part_tokens": "9"}, "`part_tokens`: expected `int` >= 16"),
        ({"kind": "painting"}, "`kind`: expected `generation`"),
        *(({"reuse": age}, "`reuse`: expected an age, such as `30m`") for age in ("7", "0d", "1w")),
    ],
)
def test_defaults_that_can_not_be_are_refused(query: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidParameter, match="the default") as raised:
        JobDefaults.from_query(query)
    assert said in raised.value.message


def test_a_fingerprint_is_what_is_asked_not_how_it_is_written() -> None:
    first = good({"custom_id": "a", "prompt": "x", "temperature": 1, "schema": {"a": 1, "b": 2}})
    same = [
        good(b'{"temperature":1.0,"schema":{"b":2, "a":1},"prompt":"\\u0078","custom_id":"b"}'),
        good(
            {
                "custom_id": "c",
                "messages": [{"role": "user", "content": "x"}],
                "temperature": 1,
                "schema": {"b": 2, "a": 1},
            }
        ),
        good(
            {"custom_id": "d", "prompt": "x", "schema": {"a": 1, "b": 2}},
            JobDefaults.from_query({"model": "gpt-4o", "temperature": "1"}),
        ),
    ]
    assert {job.fingerprint for job in same} == {first.fingerprint}


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "y"},
        {"model": "gpt-4o-mini"},
        {"system": "x"},
        {"max_tokens": 5},
        {"temperature": 0.0},
        {"top_p": 1.0},
        {"stop": "x"},
        {"seed": 0},
        {"schema": {}},
    ],
)
def test_any_other_request_has_another_fingerprint(change: dict[str, Any]) -> None:
    base = {"custom_id": "a", "prompt": "x"}
    assert good(base).fingerprint != good(base | change).fingerprint


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
FIELDS = st.fixed_dictionaries(
    {"custom_id": st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=512)},
    optional={
        "model": st.sampled_from(["gpt-4o", "mistral-small", "openai/x"]),
        "system": st.none() | TEXTS,
        "max_tokens": st.integers(1, 1_000_000),
        "temperature": st.none() | st.floats(0, 2),
        "top_p": st.none() | st.floats(0, 1),
        "stop": st.none() | TEXTS | st.lists(TEXTS, max_size=4),
        "seed": st.none() | st.integers(-(2**63), 2**63 - 1),
        "schema": st.none() | st.just(json.loads(HOURS)),
    },
)


@given(FIELDS, TEXTS, st.sampled_from([DEFAULTS, FULL_DEFAULTS]), st.booleans())
def test_the_worker_sees_the_line_that_was_accepted(
    fields: dict[str, Any], prompt: str, defaults: JobDefaults, ascii_only: bool
) -> None:
    raw = json.dumps(fields | {"prompt": prompt}, ensure_ascii=ascii_only).encode()
    job = good(raw, defaults)
    stored = JobDefaults.from_json(defaults.to_json())
    line = rebuild(job.kind, job.request, stored)
    assert isinstance(line, GenerationLine)
    assert (line.custom_id, line.model, line.prompt) == (job.custom_id, job.model, prompt)
    again = good(job.request.encode(), stored)
    assert again == job
    for name in fields.keys() - {"schema", "stop"}:
        assert getattr(line, name) == fields[name]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_at_all_break_the_reader(raw: bytes) -> None:
    assert isinstance(read(raw), LineFault)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=9,
    ),
    st.sampled_from([*GenerationLine.__struct_fields__, "stream"]),
)
def test_no_value_at_all_breaks_the_reader(value: Any, field: str) -> None:
    job = read({"custom_id": "a", "prompt": "x"} | {field: value})
    assert isinstance(job, JobLine | LineFault)
    if isinstance(job, LineFault):
        assert job.code
        assert job.message


def test_a_stored_line_that_is_no_longer_valid_is_an_error_of_ours() -> None:
    with pytest.raises(InvalidSubmission, match="no generation job"):
        rebuild("generation", '{"custom_id":"a","from_an_older_version":1}', DEFAULTS)


def test_a_million_batches_take_no_more_memory_than_a_few() -> None:
    for number in range(KEPT_DECODERS + 20):
        rebuild("generation", '{"custom_id":"a","prompt":"x"}', JobDefaults(seed=number))
    assert _decoder.cache_info().currsize == KEPT_DECODERS
