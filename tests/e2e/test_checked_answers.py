"""Checked answers from providers of all four protocols: schemas in their forms, parts, samples, templates."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.judging import books_agree, each_job_has_one_result
from tests.support.system import PATHS, SMALL, Json, System, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

MILL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 200},
        "owner": {"$ref": "#/$defs/owner"},
        "wheels": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "metres": {"type": "number"}},
                "required": ["id"],
            },
        },
    },
    "required": ["name"],
    "$defs": {
        "owner": {
            "type": "object",
            "properties": {"since": {"type": "integer"}},
            "required": ["since"],
        }
    },
}

JOBS_EACH = 20

CLOSED: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "mill",
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


@pytest.fixture(scope="module")
def four_providers(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("checked")
    with running_system(folder, shared_simulator.url, tuple(PATHS)) as system:
        system.start_up()
        yield system


def extractions(text: str) -> Iterator[Json]:
    for name in PATHS:
        for number in range(JOBS_EACH):
            yield {
                "custom_id": f"{name}-{number}",
                "kind": "extraction",
                "model": f"{name}/{SMALL}",
                "text": f"[job:{name}-{number}] {text}",  # by this the simulator's books know the job
                "schema": MILL,
            }


def outputs(system: System, batch_id: str, jobs: int) -> list[Any]:
    batch = system.wait(batch_id)
    assert batch["state"] == "completed"
    results = each_job_has_one_result(system, batch_id, jobs)
    assert not [result for result in results if result["status"] != "succeeded"][:3]
    return [result["output"] for result in results]


def test_an_extraction_is_answered_in_every_protocols_own_form(
    four_providers: System, simulator: "Simulator"
) -> None:
    """The simulator refuses a schema that isn't closed, or not wholly required, as the real ones do."""
    batch_id = four_providers.submit(extractions("The mill at Eling has one wheel."))
    values = outputs(four_providers, batch_id, JOBS_EACH * len(PATHS))
    assert all(value.keys() == {"name", "owner", "wheels"} for value in values)
    books_agree(four_providers, four_providers.batch(batch_id), simulator)


def test_a_long_text_is_read_in_parts_and_what_they_say_is_merged(
    four_providers: System, simulator: "Simulator"
) -> None:
    text = "The mill at Eling stands by the water and has been rebuilt. " * 60
    batch_id = four_providers.submit(extractions(text), part_tokens="400", merge_key="id")
    values = outputs(four_providers, batch_id, JOBS_EACH * len(PATHS))
    assert all(value["owner"] == {"since": 1} for value in values)
    assert simulator.ledger()["answered"] >= 2 * JOBS_EACH * len(PATHS)


def test_samples_of_a_filled_template_are_a_list(four_providers: System) -> None:
    jobs = [
        {"custom_id": f"{name}-{number}", "model": f"{name}/{SMALL}", "variables": {"n": number}}
        for name in PATHS
        for number in range(JOBS_EACH)
    ]
    batch_id = four_providers.submit(jobs, template="Say {{ n }}.", n="3", seed="7")
    for samples in outputs(four_providers, batch_id, len(jobs)):
        assert len(samples) == 3
        assert all(isinstance(sample, str) and sample for sample in samples)


def test_a_chat_is_answered_in_openais_shape_by_every_provider(four_providers: System) -> None:
    system, asked = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}
    jobs = [
        {
            "kind": "chat",
            "custom_id": f"{name}-{is_json}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": f"{name}/{SMALL}",
                "messages": [system, asked],
                "max_completion_tokens": 500,
                "response_format": CLOSED if is_json else {"type": "text"},
            },
        }
        for name in PATHS
        for is_json in (False, True)
    ]
    batch_id = four_providers.submit(jobs)
    four_providers.wait(batch_id)
    for result in four_providers.results(batch_id):
        completion, usage = result["output"], result["usage"]
        (choice,) = completion["choices"]
        assert (completion["object"], choice["finish_reason"]) == ("chat.completion", "stop")
        if result["custom_id"].endswith("True"):
            assert json.loads(choice["message"]["content"]).keys() == {"name"}
        told = completion["usage"]
        assert told["completion_tokens"] == usage["output_tokens"] > 0
        assert told["prompt_tokens"] == usage["input_tokens"] + usage["cached_input_tokens"]
        assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"]
