"""`docs/errors.md` lists the codes that there are, all of them and no others."""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from api.errors import PARAMETER_CODES, STATUSES
from jobs import errors
from jobs.errors import TidemillError

ROOT = Path(__file__).resolve().parents[2]

FAULTS = {"FieldFault": 0, "UnusableSchema": 0, "LooseJson": 0, "LineFault": 1, "problem": 1}
"""What is called with a code, and as which argument."""

FROM_ELSEWHERE = {
    *["not_found", "method_not_allowed"],  # the router's, by their statuses
    *["invalid_gzip", "invalid_zstd"],  # put together from the encoding
    *["invalid_encoding"],  # also of a whole body
    *["invalid_value", "wrong_type", "out_of_range"],  # of a parameter
    *PARAMETER_CODES.values(),
}

UNSEEN = {
    "lease_lost",  # between workers
    "duplicate_custom_id",  # told of lines
    "invalid_submission",  # the tree's own words for what is always more exactly one of its leaves
}


def documented() -> set[str]:
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {code for cell in rows for code in re.findall(r"`(\w+)`", cell)}


def classes(kind: type[TidemillError]) -> Iterator[type[TidemillError]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from classes(sub)


def of_the_tree() -> set[str]:
    return {
        kind.code
        for root, _status in STATUSES
        for kind in classes(root)
        if kind.__module__ == errors.__name__
    } - UNSEEN


def in_calls() -> set[str]:
    found = set()
    for folder in ("api", "jobs"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                    continue
                place = FAULTS.get(node.func.id)
                if place is None or len(node.args) <= place:
                    continue
                if isinstance(code := node.args[place], ast.Constant):
                    found.add(str(code.value))
    return found


def test_the_codes_are_those_that_are_documented() -> None:
    assert documented() == of_the_tree() | in_calls() | FROM_ELSEWHERE | {"duplicate_custom_id"}


@pytest.mark.parametrize(("kind", "status"), STATUSES)
def test_a_documented_status_is_the_one_that_is_answered(
    kind: type[TidemillError], status: HTTPStatus
) -> None:
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    if kind.code not in UNSEEN:
        rows = [line for line in text.splitlines() if line.startswith(f"| `{kind.code}` |")]
        row, *_ = rows
        assert f"| {status.value} |" in row
