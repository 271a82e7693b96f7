"""The rows that a sink gets: what a stage has made of each, beside what it was made of. Pure."""

from collections.abc import Mapping
from typing import Any

from jobs.pipelines.documents import Document
from jobs.pipelines.files import Pipeline
from jobs.pipelines.flow import branched
from jobs.pipelines.rows import OutputRow

KEY = "key"


def output_row(
    pipeline: Pipeline,
    stage_no: int,
    branch: str,
    document: Document,
    columns: Mapping[str, str] | None = None,
) -> OutputRow:
    """Return the row of a stage's branch that was done.

    Without `columns` it has the key, the fields of the source's row, the values of its branch, and the
    outputs of the stages before and its own under their names; what is made later hides what was before.
    """
    flow = pipeline.flow
    key = branched(document.key, branch)
    variables = document.variables(flow, stage_no, branch)
    variables[pipeline.stages[stage_no].name] = document.outputs.get((stage_no, branch))
    variables[KEY] = key
    if columns is not None:
        return OutputRow(key, {name: _found(variables, path) for name, path in columns.items()})
    row = variables.pop("row")
    named = {KEY: key, **row, **flow.values(stage_no, branch)}
    for number in sorted(flow.before(stage_no)):
        name = flow.nodes[number].name
        named[name] = variables.get(name)
    name = flow.nodes[stage_no].name
    named[name] = variables[name]
    return OutputRow(key, named)


def _found(variables: Mapping[str, Any], path: str) -> Any:
    """Return what is at a path such as `facts.people.0`; None if nothing is."""
    found: Any = variables
    for name in path.split("."):
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found
