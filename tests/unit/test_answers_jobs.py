"""The jobs of the benchmark of lies: what is honest to answer them is good."""

import json
from typing import Any

import pytest

from jobs.defaults import JobDefaults
from jobs.exchange import Answer, Finish
from jobs.kinds import KINDS
from jobs.kinds.kind import Good
from jobs.lines import rebuild
from scripts.benchmarks.answers_jobs import FORMS, TARGETS, lines
from scripts.benchmarks.answers_judge import LANGUAGES
from scripts.simulator.translation import Translation, translate

DIFFERENT = 10 * len(FORMS) * len(TARGETS)
"""Jobs after which the same texts come again: there are ten sentences to begin with."""

TRANSLATIONS = [line for line in lines(DIFFERENT) if line.get("kind") == "translation"]


@pytest.mark.parametrize("target", TARGETS)
def test_no_honest_translation_is_refused(target: str) -> None:
    """One that answers two items alike is, and rightly so: no such pair is among the jobs."""
    for line in TRANSLATIONS:
        if line["target"] == target:
            assert_taken(line)


def assert_taken(line: dict[str, Any]) -> None:
    request = json.dumps({**line, "model": "sim-small"})
    plan = KINDS["translation"].plan(rebuild("translation", request, JobDefaults()))
    kept: list[Any] = []
    for asked in plan.requests:
        task = Translation(asked.messages[-1].content, LANGUAGES[line["target"]], {})
        verdict = plan.judge(kept, Answer(translate(task), Finish.COMPLETE, None))
        assert isinstance(verdict, Good), (line, verdict)
        kept.append(verdict.output)
    assert isinstance(plan.join(kept), Good)
