"""The trial's batches, and what is made of their results."""

import json
from io import StringIO
from typing import Any

import jsonschema_rs
import pytest
from rich.console import Console

from jobs.configuration import Configuration, ProtocolName, Provider
from jobs.defaults import JobDefaults
from jobs.exchange import Answer, Finish
from jobs.kinds import KINDS
from jobs.kinds.kind import Good
from jobs.lines import JobLine, LineReader, rebuild
from jobs.routing import Catalogue
from scripts.local_model import CONTEXT_TOKENS_PER_SLOT, MODEL
from scripts.local_trial import report
from scripts.local_trial.story import Story, by_job
from scripts.local_trial.submissions import SUBMISSIONS, Submission, texts

CATALOGUE = Catalogue(
    Configuration(
        providers={
            "local": Provider(
                protocol=ProtocolName.OPENAI, base_url="http://127.0.0.1:1/v1", models=(MODEL,)
            )
        }
    )
)


def name_of(submission: Submission) -> str:
    return submission.name


def accepted(submission: Submission) -> list[tuple[JobLine, Any]]:
    """Return the jobs of a batch as they are accepted, each with its plan."""
    defaults = JobDefaults.from_query(
        {"kind": submission.kind, "model": MODEL, **submission.settings}
    )
    reader = LineReader(defaults, CATALOGUE)
    jobs = []
    for number, line in enumerate(submission.lines(), 1):
        job = reader.read(number, json.dumps(line).encode())
        assert isinstance(job, JobLine), job
        jobs.append((job, KINDS[job.kind].plan(rebuild(job.kind, job.request, defaults))))
    return jobs


def test_all_thirty_articles_are_there() -> None:
    articles = texts("articles")
    assert [article["id"] for article in articles] == [f"article-{n}" for n in range(1, 31)]
    assert len({article["text"] for article in articles}) == 30
    assert all(set(text) == {"id", "source", "text"} for text in [*articles, *texts("places")])


@pytest.mark.parametrize("submission", SUBMISSIONS, ids=name_of)
def test_every_job_is_a_valid_line_and_fits_into_the_models_context(submission: Submission) -> None:
    for job, plan in accepted(submission):
        for request in plan.requests:
            assert job.estimated_tokens // len(plan.requests) + request.max_tokens < (
                CONTEXT_TOKENS_PER_SLOT
            )


@pytest.mark.parametrize(
    "submission", [made for made in SUBMISSIONS if made.kind == "translation"], ids=name_of
)
def test_the_translations_that_are_shown_as_examples_are_good_ones(submission: Submission) -> None:
    for text, translation in submission.shown["examples"].items():
        fields = {"custom_id": "a", "model": MODEL, "text": text, **submission.settings}
        line = KINDS["translation"].line_type(
            **{name: fields[name] for name in ("custom_id", "model", "text", "source", "target")}
        )
        plan = KINDS["translation"].plan(line)
        assert plan.judge((), Answer(translation, Finish.COMPLETE, None)) == Good(translation)


@pytest.mark.parametrize(
    "submission", [made for made in SUBMISSIONS if made.kind == "extraction"], ids=name_of
)
def test_the_values_that_are_shown_as_examples_satisfy_the_schema(submission: Submission) -> None:
    validator = jsonschema_rs.validator_for(submission.shown["schema"])
    shown = [
        json.loads(line.removeprefix("JSON: "))
        for line in submission.shown["instructions"].splitlines()
        if line.startswith("JSON: ")
    ]
    assert len(shown) == 3
    for value in shown:
        validator.validate(value.get("value", value))


def call(job: str, n: int, code: str | None = None, outcome: str = "succeeded") -> dict[str, Any]:
    usage = {
        "input_tokens": 10,
        "cached_input_tokens": 1,
        "cache_write_tokens": 0,
        "output_tokens": 5,
    }
    error = None if code is None else {"code": code}
    return {"custom_id": job, "n": n, "outcome": outcome, "error": error, "usage": usage}


def result(job: str, code: str | None = None, mended: str | None = None) -> dict[str, Any]:
    return {
        "custom_id": job,
        "status": "failed" if code else "succeeded",
        "output": f"what was made of {job}",
        "error": None if code is None else {"code": code, "message": "why it failed"},
        "mended": mended,
    }


STORY = Story(
    "a batch",
    [result("good", mended="a fence"), result("late"), result("bad", "lost_line")],
    by_job(
        [
            call("good", 1),
            call("late", 1, "truncated"),
            call("late", 2, "wrong_language"),
            call("late", 3),
            call("bad", 1, "wrong_language"),
            call("bad", 2, "lost_line"),
        ]
    ),
    took_s=7.4,
)


def test_the_figures_tell_what_the_policy_did() -> None:
    assert (STORY.succeeded, STORY.recovered, STORY.mended) == (2, 1, 1)
    assert STORY.failures == {"lost_line": 1}
    assert STORY.faults == {"truncated": 1, "wrong_language": 2, "lost_line": 1}
    assert (STORY.call_count, STORY.asked_again, STORY.given_room) == (6, 2, 1)
    assert STORY.tokens == 6 * 16
    assert STORY.is_complete


@pytest.mark.parametrize("outcome", ["unknown", "rejected", "limited"])
def test_a_job_whose_last_call_was_not_answered_did_not_run(outcome: str) -> None:
    calls = by_job([call("a", 1), call("b", 1, "server_failed", outcome)])
    assert not Story("", [result("a"), result("b", "server_failed")], calls, 1.0).is_complete
    assert not Story("", [result("never called", "unrunnable")], {}, 1.0).is_complete


def test_the_report_shows_texts_beside_results_and_what_was_done() -> None:
    console = Console(file=StringIO(), width=400)
    shown = {job: f"the text of {job}" for job in ("good", "late", "bad")}
    for table in (
        report.samples(STORY, shown),
        report.figures([STORY, STORY]),
        report.faults([STORY]),
    ):
        console.print(table)
    assert isinstance(console.file, StringIO)
    said = console.file.getvalue()
    for part in (
        "the text of late",
        "what was made of late",
        "3 calls; truncated: gave it more room, then wrong_language: asked again, then taken",
        "2 calls; wrong_language: asked again, then failed: lost_line: why it failed",
        "1 call; taken, then mended: a fence",
        "tokens in and out",
    ):
        assert part in said
