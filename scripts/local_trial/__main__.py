"""Runs the trial: a Tidemill with the local model, four batches, and what came of them.

A model of 270 million parameters is wrong often. What is on trial is not the model but whether its bad
answers are found, what is done about them, and that none of them passes for a good one.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs.errors import ServiceUnavailable
from scripts.command.ending import ExitStatus
from scripts.command.render import JsonObject
from scripts.launcher import local_model
from scripts.launcher.ready import free_port
from scripts.local_trial import report
from scripts.local_trial.story import Story, by_job
from scripts.local_trial.submissions import SUBMISSIONS, Submission, texts
from scripts.own_tidemill import OwnTidemill, failures_told

ALL_WITHIN_S = 840.0
"""The four batches together. They took 710 s on two cores that others kept busy as well."""

ATTEMPTS_PER_PAGE = 1000


def run(tidemill: OwnTidemill, console: Console, limit: int | None) -> ExitStatus:
    """Run the trial and return its exit status: whether the model answered every job.

    Raises:
        ServiceUnavailable: Tidemill does not start, a command of it does not work, or in all it takes
            longer than `ALL_WITHIN_S`.
    """
    with tidemill.running(console):
        deadline_s = time.monotonic() + ALL_WITHIN_S
        stories = []
        for number, submission in enumerate(SUBMISSIONS, 1):
            console.rule(f"{number} of {len(SUBMISSIONS)}: {submission.name}")
            stories.append(_run_batch(tidemill, console, submission, limit, deadline_s))
    for story, submission in zip(stories, SUBMISSIONS, strict=True):
        shown = {text["id"]: text["text"] for text in texts(submission.texts)}
        console.print(report.samples(story, shown))
    console.print(report.figures(stories))
    console.print(report.faults(stories))
    (tidemill.home / "trial.json").write_text(
        json.dumps([_record(story) for story in stories], ensure_ascii=False, indent=1),
        encoding="utf-8",
    )
    console.print(f"Every answer and call is in {tidemill.home / 'trial.json'}", soft_wrap=True)
    is_complete = all(story.is_complete for story in stories)
    return ExitStatus.OK if is_complete else ExitStatus.BATCH_FAILED


def _run_batch(
    tidemill: OwnTidemill,
    console: Console,
    submission: Submission,
    limit: int | None,
    deadline_s: float,
) -> Story:
    name = submission.name.replace(" ", "-")
    lines, output = tidemill.home / f"{name}.jsonl", tidemill.home / f"{name}-results.jsonl"
    lines.write_text(
        "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in submission.lines(limit)),
        encoding="utf-8",
    )
    output.unlink(missing_ok=True)
    options = ["--name", submission.name, "--kind", submission.kind, "--model", local_model.MODEL]
    for field, value in submission.settings.items():
        options += ["--set", f"{field}={value}"]
    began_s = time.monotonic()
    if (left_s := deadline_s - began_s) <= 0:
        raise ServiceUnavailable(f"the trial takes longer than {ALL_WITHIN_S:,.0f} s")
    argv = ("submit", str(lines), *options, "-o", str(output))
    tidemill.command(console, *argv, within_s=left_s)
    took_s = time.monotonic() - began_s
    results = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    return Story(submission.name, results, by_job(_attempts(tidemill, submission.name)), took_s)


def _attempts(tidemill: OwnTidemill, name: str) -> Iterator[JsonObject]:
    """Yield the attempts of the newest batch of this name."""
    with tidemill.client() as client:
        newest = client.batches(limit=len(SUBMISSIONS))["data"]
        batch_id = next(batch["id"] for batch in newest if batch["name"] == name)
        cursor = None
        while True:
            page = client.attempts(batch_id, ATTEMPTS_PER_PAGE, cursor=cursor)
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return


def _record(story: Story) -> JsonObject:
    return {
        "batch": story.name,
        "took_s": round(story.took_s, 1),
        "jobs": [{**result, "calls": [*story.calls_of(result)]} for result in story.results],
    }


def main(
    home: Annotated[
        Path, typer.Option(help="Where the trial keeps its database, logs and results.")
    ] = Path(".tidemill/local-trial"),
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many texts of each batch.")
    ] = None,
) -> None:
    """Translate the Universal Declaration of Human Rights and read real texts with a small model."""
    console = Console(highlight=False)
    with failures_told("trial", console):
        status = run(OwnTidemill(home.resolve(), port=free_port()), console, limit)
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
