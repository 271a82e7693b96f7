"""From a row to the line of its job in a stage, or to why it gets none. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.errors import LineFault
from jobs.kinds import KINDS
from jobs.kinds.filters import UnfitVariables
from jobs.kinds.templates import UnusableTemplate, render
from jobs.lines import JobLine, LineReader
from jobs.pipelines.documents import Document
from jobs.pipelines.files import Pipeline
from jobs.pipelines.flow import branched
from jobs.pipelines.stages import Stage

_FALSE = frozenset({"", "false", "False", "0", "null", "None", "[]", "{}"})
"""What a condition writes that is not met."""

MOST_ERROR_CHARACTERS = 500


class LeftOut:
    """The row does not meet the stage's condition."""


class Unaskable(ValueError):
    """The row can't become a job of the stage; the message says why."""


class Asking:
    """Makes the lines of one stage."""

    def __init__(self, pipeline: Pipeline, number: int, reader: LineReader) -> None:
        self.number = number
        self._flow = pipeline.flow
        self._stage = stage = pipeline.stages[number]
        self._reader = reader
        self._fields = {field.name for field in msgspec.structs.fields(KINDS[stage.kind].line_type)}
        used = stage.variables
        self.used = frozenset().union(*(names for field, names in used.items() if field != "check"))
        """The variables that are needed to ask."""
        self.used_to_check = used.get("check", frozenset())
        self._of_template = used.get("template", frozenset())

    def job(self, document: Document, branch: str) -> JobLine | LeftOut:
        """Return the job of a row's branch.

        Raises:
            Unaskable: it can't be one.
        """
        variables = document.variables(self._flow, self.number, branch)
        where = self._stage.conditions.get("where")
        if where is not None and not _is_met(where, variables, "where"):
            return LeftOut()
        line: dict[str, Any] = {"custom_id": branched(document.key, branch)}
        for field, template in self._stage.places.items():
            line[field] = _filled(template, variables, field)
        for name, value in self._flow.values(self.number, branch).items():
            if name in self._fields and name not in line:
                line[name] = value
        if self._stage.template is not None:
            line["variables"] = {
                name: variables[name] for name in self._of_template if name in variables
            }
        job = self._reader.read(1, msgspec.json.encode(line))
        if isinstance(job, LineFault):
            raise Unaskable(f"{job.field + ': ' if job.field else ''}{job.message}")
        return job

    def passes(self, document: Document, branch: str, output: Any) -> bool:
        """Return whether an answer meets the stage's `check`.

        Raises:
            Unaskable: the condition can't be filled in.
        """
        check = self._stage.conditions.get("check")
        if check is None:
            return True
        variables = document.variables(self._flow, self.number, branch)
        return _is_met(check, {**variables, "output": output}, "check")


def used_of(stage: Stage) -> frozenset[str]:
    """Return all variables that a stage's templates use."""
    return frozenset().union(*stage.variables.values())


def _is_met(template: str, variables: Mapping[str, Any], field: str) -> bool:
    return _filled(template, variables, field).strip() not in _FALSE


def _filled(template: str, variables: Mapping[str, Any], field: str) -> str:
    try:
        return render(template, variables)
    except (UnfitVariables, UnusableTemplate) as error:
        raise Unaskable(f"{field}: {error}"[:MOST_ERROR_CHARACTERS]) from error
