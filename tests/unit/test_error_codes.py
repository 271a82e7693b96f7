"""`docs/errors.md` lists the codes that there are, all of them and no others."""

import ast
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import pytest

from api.errors import PARAMETER_CODES, STATUSES
from jobs import errors
from jobs.errors import Permanent, ProviderError, TidemillError
from jobs.store import live
from workers.job import conclusions, job_run
from workers.job.next_step import is_doubtful
from workers.live import live_run

Kind = TypeVar("Kind", bound=TidemillError)

ROOT = Path(__file__).resolve().parents[2]

FAULTS = {
    "FieldFault": 0,
    "UnusableSchema": 0,
    "LooseJson": 0,
    "LineFault": 1,
    "problem": 1,
    "UnreadableBody": 1,
}
"""What is called with a code, and as which argument."""

FROM_ELSEWHERE = {
    *["not_found", "method_not_allowed"],  # the router's, by their statuses
    *["invalid_gzip", "invalid_zstd"],  # put together from the encoding
    *["invalid_encoding"],  # also of a whole body
    *["invalid_value", "wrong_type", "out_of_range"],  # of a parameter
    *PARAMETER_CODES.values(),
}

DECIDED = {"Bad": 0, "self._decide": 0}
"""What is called with a result's code, and as which argument."""

NAMED = {
    *(job_run.UNRUNNABLE, conclusions.UNSTORABLE),
    *(live.CALL_LOST, live_run.HUNG_UP, live_run.STOPPED, live_run.UNUSABLE),
}
"""Codes of results that have a name."""

UNSEEN = {
    "lease_lost",  # between workers
    "duplicate_custom_id",  # told of lines
    "invalid_submission",  # the tree's own words for what is always more exactly one of its leaves
}


def documented() -> tuple[set[str], set[str]]:
    """Return the codes of answers, lines and parameters, and those of results."""
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    answers, _heading, results = text.partition("## Of a result")
    return codes_in(answers), codes_in(results)


def codes_in(tables: str) -> set[str]:
    rows = [line.split("|")[1] for line in tables.splitlines() if line.startswith("| `")]
    return {code for cell in rows for code in re.findall(r"`(\w+)`", cell)}


def classes(kind: type[Kind]) -> Iterator[type[Kind]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from classes(sub)


def of_the_tree() -> set[str]:
    return {
        kind.code
        for root, _status in STATUSES
        for kind in classes(root)
        if kind.__module__.startswith(f"{errors.__name__}.")
    } - UNSEEN


def given(callees: Mapping[str, int], *folders: str) -> set[str]:
    """Return the codes that the folders' code gives, as plain texts, to whom it calls with one."""
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                place = callees.get(ast.unparse(node.func))
                if place is None or len(node.args) <= place:
                    continue
                if isinstance(code := node.args[place], ast.Constant):
                    found.add(str(code.value))
    return found


def of_results() -> set[str]:
    """Return the codes that the code gives to results, and those of the errors that end a job."""
    final = {
        kind.code
        for kind in classes(ProviderError)
        if kind.__module__.startswith(f"{errors.__name__}.")
        and not kind.__subclasses__()
        and (issubclass(kind, Permanent) or is_doubtful(kind()))
    }
    return final | NAMED | given(DECIDED, "jobs", "workers")


def test_the_codes_are_those_that_are_documented() -> None:
    answers, _results = documented()
    assert answers == of_the_tree() | given(FAULTS, "api", "jobs") | FROM_ELSEWHERE | {
        "duplicate_custom_id"
    }


def test_the_codes_of_results_are_those_that_are_documented() -> None:
    _answers, results = documented()
    assert results == of_results() | {"cancelled", "expired"}


@pytest.mark.parametrize(("kind", "status"), STATUSES)
def test_a_documented_status_is_the_one_that_is_answered(
    kind: type[TidemillError], status: HTTPStatus
) -> None:
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    if kind.code not in UNSEEN:
        rows = [line for line in text.splitlines() if line.startswith(f"| `{kind.code}` |")]
        row, *_ = rows
        assert f"| {status.value} |" in row


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in str(errors.__doc__).splitlines():
        if found := re.fullmatch(r" {4}( *)(\w+)", line):
            depth = len(found[1]) // 2
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in classes if issubclass(kind, TidemillError)]
    assert drawn == {kind.__name__: str(kind.__base__.__name__) for kind in kinds if kind.__base__}
