"""The demo's texts and jobs, and how its run is judged."""

import json
from typing import Any

import jsonschema_rs
import pytest

from jobs.configuration import Configuration, ProtocolName, Provider
from jobs.defaults import JobDefaults
from jobs.lines import JobLine, LineReader
from jobs.routing import Catalogue
from scripts.command.ending import ExitStatus
from scripts.demo import BAD_ANSWERS, judge
from scripts.demo_texts import TASKS, Task, jobs, texts
from scripts.local_model import MODEL

SLOT_CHARACTERS = 2048
"""Fewer than a slot of the local model has tokens, so every prompt fits with its answer."""


def task_id(task: Task) -> str:
    return task.texts


def test_there_are_about_thirty_jobs_each_with_a_name_of_its_own() -> None:
    names = [job["custom_id"] for job in jobs()]
    assert 25 <= len(names) <= 35
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("task", TASKS, ids=task_id)
def test_every_text_has_a_source_and_fits_on_one_line(task: Task) -> None:
    assert texts(task.texts)
    for text in texts(task.texts):
        assert set(text) == {"id", "source", "text"}
        assert all(text.values())
        assert "\n" not in text["text"]


@pytest.mark.parametrize("task", TASKS, ids=task_id)
def test_a_prompt_ends_where_its_answer_begins(task: Task) -> None:
    prompt = task.prompt("Hello.")
    assert prompt.endswith(f"{task.question}: Hello.\n{task.answer}:")
    assert prompt.count(f"\n{task.answer}:") == len(task.examples) + 1


def test_every_prompt_fits_into_the_models_context() -> None:
    assert max(len(job["prompt"]) for job in jobs()) < SLOT_CHARACTERS


@pytest.mark.parametrize("task", [task for task in TASKS if task.schema], ids=task_id)
def test_the_examples_satisfy_the_schema_that_is_asked_for(task: Task) -> None:
    assert task.schema is not None
    validator = jsonschema_rs.validator_for(task.schema)
    for _, answer in task.examples:
        validator.validate(json.loads(answer))


def test_some_jobs_ask_for_json_and_the_others_for_one_line() -> None:
    with_schema = [job for job in jobs() if "schema" in job]
    one_line = [job for job in jobs() if job.get("stop") == ["\n"]]
    assert with_schema
    assert one_line
    assert len(with_schema) + len(one_line) == len(jobs())


def test_every_job_is_a_valid_line_of_a_submission() -> None:
    provider = Provider(
        protocol=ProtocolName.OPENAI, base_url="http://127.0.0.1:1/v1", models=(MODEL,)
    )
    reader = LineReader(
        JobDefaults(model=MODEL), Catalogue(Configuration(providers={"local": provider}))
    )
    lines = [reader.read(1, json.dumps(job).encode()) for job in jobs()]
    assert [line for line in lines if not isinstance(line, JobLine)] == []


def result(code: str | None = None) -> dict[str, Any]:
    if code is None:
        return {"status": "succeeded", "error": None}
    return {"status": "failed", "error": {"code": code, "message": "…"}}


@pytest.mark.parametrize(
    ("results", "expected", "status"),
    [
        ([result(), result()], 2, ExitStatus.OK),
        ([result(code) for code in sorted(BAD_ANSWERS)], len(BAD_ANSWERS), ExitStatus.OK),
        ([result(), result("server_failed")], 2, ExitStatus.BATCH_FAILED),
        ([result(), {"status": "cancelled", "error": None}], 2, ExitStatus.BATCH_FAILED),
        ([result()], 2, ExitStatus.BATCH_FAILED),
        ([], 0, ExitStatus.OK),
        ([result(), result(), result()], 2, ExitStatus.BATCH_FAILED),
    ],
)
def test_a_run_is_good_if_every_job_ran_even_where_the_answer_is_bad(
    results: list[dict[str, Any]], expected: int, status: ExitStatus
) -> None:
    assert judge(results, expected) == status
