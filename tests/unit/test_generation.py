"""The kind `generation`: how a line becomes a request, and which answers are good."""

import json
import time
from typing import Any

import msgspec
import pytest

from jobs.exchange import Answer, Finish, Message, ModelRequest, Usage
from jobs.kinds import KINDS
from jobs.kinds.generation import Generation, GenerationLine
from jobs.kinds.kind import Bad, FieldFault, Good, Remedy, Verdict
from jobs.kinds.schemas import KEPT_SCHEMAS, MAX_DEPTH, MAX_SCHEMA_BYTES, read_schema

GENERATION = Generation()

HOURS = {
    "type": "object",
    "properties": {
        "hour": {"type": "integer"},
        "a/b~c": {"type": "array", "items": {"type": "null"}},
    },
    "required": ["hour"],
}


def line(**fields: Any) -> GenerationLine:
    return msgspec.json.decode(
        json.dumps({"custom_id": "a1", "model": "gpt-4o", **fields}), type=GenerationLine
    )


def answer(text: str, finish: Finish = Finish.COMPLETE, refusal: str | None = None) -> Answer:
    return Answer(text=text, finish=finish, usage=Usage(5, 0, 0, 5), refusal=refusal)


def request_of(made: GenerationLine) -> ModelRequest:
    (request,) = GENERATION.plan(made).requests
    return request


def judged(made: GenerationLine, given: Answer) -> Verdict:
    return GENERATION.plan(made).judge((), given)


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"not": schema}
    return schema


def test_the_kind_is_found_by_its_name() -> None:
    assert isinstance(KINDS["generation"], Generation)
    assert all(kind.name == name for name, kind in KINDS.items())


def test_every_kinds_lines_have_the_fields_that_all_jobs_have() -> None:
    for kind in KINDS.values():
        assert all(hasattr(kind.line_type, name) for name in ("custom_id", "kind", "model"))
        with pytest.raises(msgspec.ValidationError, match="unknown field `unheard_of`"):
            msgspec.json.decode(b'{"custom_id":"a","unheard_of":1}', type=kind.line_type)


def test_a_prompt_becomes_one_turn_of_the_user() -> None:
    request = request_of(line(prompt="What hour is it?", system="Be brief."))
    assert request.messages == (Message("user", "What hour is it?"),)
    assert request.system == "Be brief."
    assert request.schema is None


def test_everything_that_a_line_sets_reaches_the_request() -> None:
    request = request_of(
        line(
            messages=[
                {"role": "user", "content": "What hour is it?"},
                {"role": "assistant", "content": "Look at the mud."},
                {"role": "user", "content": "I did."},
            ],
            max_tokens=7,
            temperature=0,
            top_p=0.5,
            stop=["\n", "END"],
            seed=42,
            schema=HOURS,
        )
    )
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    assert (request.max_tokens, request.temperature, request.top_p) == (7, 0.0, 0.5)
    assert (request.stop, request.seed, request.schema) == (("\n", "END"), 42, HOURS)


def test_one_stop_text_is_a_list_of_one() -> None:
    assert request_of(line(prompt="x", stop="END")).stop == ("END",)


def test_leading_system_messages_become_the_system_text() -> None:
    spoken = line(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "What hour is it?"},
        ]
    )
    assert GENERATION.check(spoken) is None
    request = request_of(spoken)
    assert request.system == "Be brief.\n\nBe kind."
    assert request.messages == (Message("user", "What hour is it?"),)


USER = {"role": "user", "content": "x"}
SYSTEM = {"role": "system", "content": "y"}


def test_a_template_is_filled_in_and_is_the_prompt() -> None:
    made = line(template="Say {{ word }}.", variables={"word": "yes"})
    assert GENERATION.check(made) is None
    assert request_of(made).messages == (Message("user", "Say yes."),)
    made = line(template="Say yes.")
    assert GENERATION.check(made) is None
    assert request_of(made).messages == (Message("user", "Say yes."),)


def test_a_batchs_template_leaves_lines_with_a_prompt_alone() -> None:
    for given in ({"prompt": "x"}, {"messages": [{"role": "user", "content": "x"}]}):
        made = line(template="Say {{ word }}.", **given)
        assert GENERATION.check(made) is None
        assert request_of(made).messages == (Message("user", "x"),)


def test_samples_are_calls_with_seeds_of_their_own_and_the_output_is_their_list() -> None:
    plan = GENERATION.plan(line(prompt="x", n=3, seed=2**63 - 2))
    assert [request.seed for request in plan.requests] == [2**63 - 2, 2**63 - 1, -(2**63)]
    assert len({request.messages for request in plan.requests}) == 1
    kept: list[Any] = []
    for text in ("a", "b", "c"):
        assert plan.request(kept) == plan.requests[len(kept)]
        verdict = plan.judge(kept, answer(text))
        assert isinstance(verdict, Good)
        kept.append(verdict.output)
    assert plan.join(kept) == Good(["a", "b", "c"])


def test_one_sample_is_no_list_and_no_seed_is_none_for_all() -> None:
    assert GENERATION.plan(line(prompt="x", n=1)).join(["a"]) == Good("a")
    plan = GENERATION.plan(line(prompt="x", n=16))
    assert [request.seed for request in plan.requests] == [None] * 16


@pytest.mark.parametrize("n", [0, 17, "2"])
def test_so_many_samples_can_not_be(n: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.n"):
        line(prompt="x", n=n)


CROSS_FIELD_FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "missing_prompt", "prompt"),
    ({"prompt": ""}, "missing_prompt", "prompt"),
    ({"prompt": None}, "missing_prompt", "prompt"),
    ({"messages": []}, "missing_prompt", "messages"),
    ({"messages": [SYSTEM]}, "missing_prompt", "messages"),
    ({"prompt": "x", "messages": [USER]}, "conflicting_fields", "messages"),
    ({"system": "x", "messages": [SYSTEM, USER]}, "conflicting_fields", "messages[0].role"),
    ({"messages": [SYSTEM, USER, SYSTEM]}, "invalid_value", "messages[2].role"),
    ({"variables": {}}, "missing_template", "template"),
    ({"prompt": "x", "variables": {}}, "missing_template", "template"),
    ({"prompt": "x", "template": "y", "variables": {}}, "conflicting_fields", "prompt"),
    ({"messages": [USER], "template": "y", "variables": {}}, "conflicting_fields", "messages"),
    ({"template": "{{ a }}"}, "missing_variable", "variables.a"),
    ({"template": "{{ a }}", "variables": {"b": 1}}, "missing_variable", "variables.a"),
    ({"template": "{{ a() }}", "variables": {}}, "invalid_template", "template"),
    ({"template": "{{ -a }}", "variables": {"a": "x"}}, "unfit_variables", "variables"),
    (
        {"template": "{{ a }}" * 9, "variables": {"a": "x" * 10**6}},
        "rendered_too_large",
        "variables",
    ),
    ({"template": " {{ a }}", "variables": {"a": ""}}, "missing_prompt", "template"),
    ({"template": "x", "schema": []}, "wrong_type", "schema"),
    ({"prompt": "x", "schema": []}, "wrong_type", "schema"),
    ({"prompt": "x", "schema": True}, "wrong_type", "schema"),
    ({"prompt": "x", "schema": {"type": "integr"}}, "invalid_schema", "schema"),
    ({"prompt": "x", "schema": {"pattern": "(("}}, "invalid_schema", "schema"),
    ({"prompt": "x", "schema": {"$ref": "#/nowhere"}}, "invalid_schema", "schema"),
    ({"prompt": "x", "schema": {"$ref": "http://127.0.0.1:9/x"}}, "invalid_schema", "schema"),
    ({"prompt": "x", "schema": {"$ref": "file:///etc/hostname"}}, "invalid_schema", "schema"),
    ({"prompt": "x", "schema": {"title": "x" * MAX_SCHEMA_BYTES}}, "invalid_schema", "schema"),
    ({"prompt": "x", "schema": nested(MAX_DEPTH + 1)}, "too_deep", "schema"),
    ({"prompt": "x", "schema": nested(900)}, "too_deep", "schema"),
]


@pytest.mark.parametrize(("fields", "code", "field"), CROSS_FIELD_FAULTS)
def test_fields_that_do_not_fit_together_are_named(
    fields: dict[str, Any], code: str, field: str
) -> None:
    fault = GENERATION.check(line(**fields))
    assert isinstance(fault, FieldFault)
    assert (fault.code, fault.field) == (code, field)
    assert len(fault.message) < 400


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "x"},
        {"prompt": "x", "messages": None, "schema": None, "stop": None, "seed": None},
        {"messages": [USER]},
        {"prompt": "x", "schema": HOURS},
        {"prompt": "x", "schema": nested(MAX_DEPTH)},
    ],
)
def test_a_good_line_has_no_fault(fields: dict[str, Any]) -> None:
    assert GENERATION.check(line(**fields)) is None


TEXT_VERDICTS: list[tuple[Answer, Good | str]] = [
    (answer("High water."), Good("High water.")),
    (answer(" High\n"), Good(" High\n")),
    (answer("High wa", Finish.TRUNCATED), "truncated"),
    (answer("High wa", Finish.OTHER), Good("High wa")),
    (answer(""), "empty_output"),
    (answer(" \n"), "empty_output"),
    (answer("", Finish.TRUNCATED), "truncated"),
    (answer("I can't.", Finish.REFUSED), "refused"),
    (answer("", Finish.REFUSED, "No."), "refused"),
    (answer("oops", Finish.MALFUNCTION), "model_malfunction"),
]


@pytest.mark.parametrize(("given", "expected"), TEXT_VERDICTS)
def test_the_verdict_on_a_text(given: Answer, expected: Good | str) -> None:
    verdict = judged(line(prompt="x"), given)
    assert (verdict.code if isinstance(verdict, Bad) else verdict) == expected


def test_the_beginning_of_a_text_is_an_answer_where_the_line_says_so() -> None:
    cut = answer("High wa", Finish.TRUNCATED)
    assert judged(line(prompt="x", keep_truncated=True), cut) == Good("High wa")
    nothing = judged(line(prompt="x", keep_truncated=True), answer("", Finish.TRUNCATED))
    assert isinstance(nothing, Bad)
    assert (nothing.code, nothing.remedy) == ("empty_output", Remedy.RAISE)
    asked_json = line(prompt="x", keep_truncated=True, schema=HOURS)
    verdict = judged(asked_json, answer('{"hour": 5}', Finish.TRUNCATED))
    assert isinstance(verdict, Bad)
    assert (verdict.code, verdict.remedy) == ("truncated", Remedy.RAISE)


JSON_VERDICTS: list[tuple[str, Finish, Good | Bad | str]] = [
    ('{"hour": 5}', Finish.COMPLETE, Good({"hour": 5})),
    ('\n {"hour": 5} \n', Finish.COMPLETE, Good({"hour": 5})),
    ('```json\n{"hour": 5}\n```', Finish.COMPLETE, Good({"hour": 5}, "a fence")),
    ('```\r\n{"hour": 5}\r\n```\n', Finish.COMPLETE, Good({"hour": 5}, "a fence")),
    ('```\n{"hour": 5}```', Finish.COMPLETE, Good({"hour": 5}, "a fence")),
    ('```json {"hour": 5}\n```', Finish.COMPLETE, Good({"hour": 5}, "a fence")),
    ('```json\n{"hour": 5}', Finish.COMPLETE, Good({"hour": 5}, "a fence")),
    ("```", Finish.COMPLETE, "invalid_json"),
    ('{"hour": 5}', Finish.TRUNCATED, "truncated"),
    ('{"hour": 5}', Finish.REFUSED, "refused"),
    ("", Finish.COMPLETE, "empty_output"),
    ("It is five.", Finish.COMPLETE, "invalid_json"),
    (
        'Here:\n```json\n{"hour": 5}\n```',
        Finish.COMPLETE,
        Good({"hour": 5}, "text around the JSON"),
    ),
    ("{'hour': 5,}", Finish.COMPLETE, Good({"hour": 5}, "single quotes, trailing commas")),
    ('Not {"hour": 4} but {"hour": 5}.', Finish.COMPLETE, "invalid_json"),
    (
        'As [1] says, {"hour": 5}.',
        Finish.COMPLETE,
        Good({"hour": 5}, "text around the JSON"),
    ),
    ('[{"hour": 5}, {"hour": 6', Finish.COMPLETE, "invalid_json"),
    ('{"hour": 5', Finish.COMPLETE, "invalid_json"),
    ('{"hour": NaN}', Finish.COMPLETE, "invalid_json"),
    ('{"hour": "\\ud800"}', Finish.COMPLETE, "invalid_json"),
    ("[" * 400 + "]" * 400, Finish.COMPLETE, "invalid_json"),
    ("[" * 100_000, Finish.COMPLETE, "invalid_json"),
    ("[]", Finish.COMPLETE, Bad("schema_violation", '/: [] is not of type "object"')),
    ("{}", Finish.COMPLETE, Bad("schema_violation", '/: "hour" is a required property')),
    (
        '{"hour": 1, "a/b~c": [null, 2]}',
        Finish.COMPLETE,
        Bad("schema_violation", '/a~1b~0c/1: 2 is not of type "null"'),
    ),
    (
        '{"hour": "5", "a/b~c": 2}',
        Finish.COMPLETE,
        Bad(
            "schema_violation",
            '/hour: "5" is not of type "integer"; /a~1b~0c: 2 is not of type "array"',
        ),
    ),
    (
        '{"hour": 5, "a/b~c": null}',
        Finish.COMPLETE,
        Good({"hour": 5}, "null for what may be missing: /a~1b~0c"),
    ),
    (
        '{"hour": null, "a/b~c": null}',
        Finish.COMPLETE,
        Bad("schema_violation", '/hour: null is not of type "integer"'),
    ),
]


@pytest.mark.parametrize(("text", "finish", "expected"), JSON_VERDICTS)
def test_the_verdict_on_json_that_a_schema_demands(
    text: str, finish: Finish, expected: Good | Bad | str
) -> None:
    verdict = judged(line(prompt="x", schema=HOURS), answer(text, finish))
    if isinstance(expected, str):
        assert isinstance(verdict, Bad)
        assert verdict.code == expected
    else:
        assert verdict == expected


def test_a_refusal_is_quoted() -> None:
    verdict = judged(line(prompt="x"), answer("", Finish.REFUSED, "I may not."))
    assert verdict == Bad("refused", "I may not.", Remedy.TURN)


def test_a_reason_does_not_repeat_a_long_answer() -> None:
    verdict = judged(line(prompt="x", schema={"type": "object"}), answer(json.dumps("x" * 100_000)))
    assert isinstance(verdict, Bad)
    assert len(verdict.message) < 250


def test_of_an_answer_in_ruins_some_reasons_are_told_and_of_a_long_one_the_first() -> None:
    """To list half a million violations would take ten seconds, in which a worker's loop stands."""
    schema = {"type": "array", "items": {"type": "integer"}}
    short = judged(line(prompt="x", schema=schema), answer(json.dumps(["x"] * 9)))
    assert isinstance(short, Bad)
    assert [reason.partition(":")[0] for reason in short.message.split("; ")] == [
        *["/0", "/1", "/2", "/3", "/4"]
    ]
    since_s = time.process_time()
    long = judged(line(prompt="x", schema=schema), answer(json.dumps(["x"] * 200_000)))
    assert time.process_time() - since_s < 1.0
    assert long == Bad("schema_violation", '/0: "x" is not of type "integer"')


def test_many_values_that_may_each_be_one_of_many_take_a_moment() -> None:
    """To tell what each of 1,000 alternatives lacks for each of 600 values would take ten seconds."""
    kinds = [
        {"type": "object", "properties": {"k": {"const": n}, "x": {"type": "string"}}}
        for n in range(1_000)
    ]
    made = line(prompt="x", schema={"type": "array", "items": {"anyOf": kinds}})
    text = json.dumps([{"k": "no", "x": None}] * 600)
    assert len(text) < 16_384
    since_s = time.process_time()
    verdict = judged(made, answer(text))
    assert time.process_time() - since_s < 2.0
    assert isinstance(verdict, Bad)
    assert verdict.message.startswith("/0: fits none of the alternatives")


def test_of_alternatives_each_ones_lack_is_told() -> None:
    schema = {"anyOf": [{"type": "object", "required": ["hour"]}, {"type": "null"}]}
    verdict = judged(line(prompt="x", schema=schema), answer("{}"))
    assert verdict == Bad(
        "schema_violation",
        '/: fits none of the alternatives (/: "hour" is a required property; '
        '/: {} is not of type "null")',
    )


def test_a_fence_is_looked_for_in_linear_time() -> None:
    """In quadratic time this would be minutes, in which a worker's loop does nothing else."""
    text = "```json\n{}" + 1_000_000 * " " + "x"
    since_s = time.process_time()
    verdict = judged(line(prompt="x", schema=HOURS), answer(text))
    assert time.process_time() - since_s < 5.0
    assert isinstance(verdict, Bad)


def test_a_pattern_runs_in_linear_time() -> None:
    """With a backtracking engine this answer would take longer than anybody lives."""
    schema = {"type": "string", "pattern": "^(a+)+$"}
    verdict = judged(line(prompt="x", schema=schema), answer(json.dumps("a" * 50_000 + "!")))
    assert isinstance(verdict, Bad)


def test_a_schema_is_compiled_once_for_all_the_jobs_that_share_it() -> None:
    raw = json.dumps(HOURS).encode()
    assert read_schema(raw) is read_schema(bytes(bytearray(raw)))


def test_a_million_different_schemas_take_no_more_memory_than_a_few() -> None:
    for number in range(2 * KEPT_SCHEMAS):
        read_schema(json.dumps({"const": number}).encode())
    assert read_schema.cache_info().currsize == KEPT_SCHEMAS


def test_a_refusal_in_words_is_no_text_unless_it_was_asked_for() -> None:
    refusal = "I'm sorry, but I can't help with that."
    bad = judged(line(prompt="Write a poem."), answer(refusal))
    assert isinstance(bad, Bad)
    assert (bad.code, bad.remedy) == ("refused", Remedy.TURN)
    asked = line(prompt=f"Repeat after me: {refusal.upper()}")
    assert judged(asked, answer(refusal)) == Good(refusal)
