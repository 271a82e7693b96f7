"""What the trial prints at its end: the figures of all batches, and samples of each side by side."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.box import SIMPLE
from rich.table import Column, Table

from scripts.command.render import JsonObject, printable
from scripts.command.tables import figure
from scripts.local_trial.story import MORE_ROOM, Story, faults_of

SHOWN_CHARACTERS = 300
"""Of a text beside others."""

GOOD_SAMPLES, RECOVERED_SAMPLES, FAILED_SAMPLES = 2, 2, 2


_FIGURES: tuple[tuple[str, Callable[[Story], int]], ...] = (
    ("jobs", lambda story: len(story.results)),
    ("succeeded", lambda story: story.succeeded),
    ("… after a bad answer", lambda story: story.recovered),
    ("… mended here", lambda story: story.mended),
    ("failed", lambda story: story.failures.total()),
    ("calls", lambda story: story.call_count),
    ("bad answers", lambda story: story.faults.total()),
    ("… asked again", lambda story: story.asked_again),
    ("… given more room", lambda story: story.given_room),
    ("tokens in and out", lambda story: story.tokens),
    ("seconds", lambda story: round(story.took_s)),
)


def figures(stories: Sequence[Story]) -> Table:
    """Return a column of figures for each batch."""
    table = Table("", *(figure(story.name) for story in stories), box=SIMPLE, pad_edge=False)
    for name, count in _FIGURES:
        table.add_row(name, *(f"{count(story):,}" for story in stories))
    return table


def faults(stories: Sequence[Story]) -> Table:
    """Return a row for each fault of a batch's answers: how many, and of how many jobs the last word."""
    table = Table(
        "batch",
        "what was wrong",
        figure("answers"),
        figure("jobs that failed so"),
        box=SIMPLE,
        pad_edge=False,
    )
    for story in stories:
        failed = story.failures
        for code, count in (story.faults | Counter(dict.fromkeys(failed, 0))).most_common():
            table.add_row(story.name, code, str(count), str(failed[code]))
    return table


def samples(story: Story, texts: Mapping[str, str]) -> Table:
    """Return some of a batch's jobs: the text, what was made of it, and what the policy did."""
    table = Table(
        Column("text", ratio=5, overflow="fold"),
        Column("result", ratio=5, overflow="fold"),
        Column("what the policy did", ratio=3, overflow="fold"),
        title=story.name,
        expand=True,
        show_lines=True,
    )
    for result in _chosen(story):
        table.add_row(
            _cut(texts[result["custom_id"]]), _cut(_output(result)), printable(_told(story, result))
        )
    return table


def _chosen(story: Story) -> Iterable[JsonObject]:
    """Return jobs of every end that one can have, in the order of the batch."""
    good, recovered, failed = [], [], []
    for result in story.results:
        if result["status"] != "succeeded":
            failed.append(result)
        elif faults_of(story.calls_of(result)):
            recovered.append(result)
        else:
            good.append(result)
    return [*good[:GOOD_SAMPLES], *recovered[:RECOVERED_SAMPLES], *failed[:FAILED_SAMPLES]]


def _told(story: Story, result: JsonObject) -> str:
    calls = story.calls_of(result)
    steps = [
        f"{code}: {'gave it more room' if code == MORE_ROOM else 'asked again'}"
        for code in faults_of(calls[:-1])
    ]
    error = result["error"]
    steps.append(f"failed: {error['code']}: {error['message']}" if error else "taken")
    if result["mended"]:
        steps.append(f"mended: {result['mended']}")
    return f"{len(calls)} call{'s' * (len(calls) > 1)}; {', then '.join(steps)}"


def _output(result: JsonObject) -> str:
    output = result["output"]
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)


def _cut(text: str) -> str:
    shown = "\n".join(printable(line) for line in text.strip().splitlines())
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}…"
