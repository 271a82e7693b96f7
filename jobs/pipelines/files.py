"""`pipelines/*.toml`: what a pipeline is, read once, checked, frozen; a run keeps it as it was."""

import json
import posixpath
import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import msgspec
from pydantic import AfterValidator, Field, ValidationError, model_validator

from jobs import wording
from jobs.deadlines import AfterDeadline, RunWindow, next_time
from jobs.defaults import JobDefaults
from jobs.errors import ConfigurationError, UnknownModel
from jobs.money import parse_usd
from jobs.pipelines.cron import check_cron, zone_named
from jobs.pipelines.ends import SinkSection, SourceSection
from jobs.pipelines.flow import Flow, Node, Unfit
from jobs.pipelines.places import line_of, shown
from jobs.pipelines.sections import Section
from jobs.pipelines.stages import Stage
from jobs.routing import Catalogue
from jobs.states import LaneWish, Priority

_NAMED_PLACE = re.compile(r"(?P<list>[a-z]+)\[(?P<number>[0-9]+)\](\.(?P<field>[a-z_]+))?:")
"""How what is wrong between the sections begins, which is found when each is good for itself."""

JSON_FIELDS = ("schema", "glossary", "examples")
"""Settings of stages that may be named as a file: `schema = "file:facts.json"`."""


def _check_zone(name: str) -> str:
    zone_named(name)
    return name


def _check_usd(text: str) -> str:
    parse_usd(text)
    return text


def _check_window(text: str) -> str:
    RunWindow.of(text if " " in text else f"{text} UTC")
    return text


Window = Annotated[str, AfterValidator(_check_window)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Usd = Annotated[str, AfterValidator(_check_usd)]


class Schedule(Section):
    """When runs are due."""

    cron: Annotated[str, AfterValidator(check_cron)]
    zone: Zone = "UTC"
    overlap: Literal["skip", "queue", "overlap"] = "skip"
    """What becomes of a run that is due while an earlier one goes on."""


class Pipeline(Section):
    """The whole file."""

    name: Annotated[str, Field(pattern=wording.NAME)]
    description: str | None = None
    project: str = "default"
    schedule: Schedule | None = None
    """None: on demand."""
    zone: Zone | None = None
    """Of the deadline and of `{date}`; by default the schedule's, else UTC."""
    deadline: Annotated[str, Field(pattern=wording.TIME_OF_DAY)] | None = None
    """A time of day, the next one after a run is due."""
    after_deadline: AfterDeadline = AfterDeadline.FINISH
    run_window: Window | None = None
    """Hours such as `22:00-06:00`, in the pipeline's zone unless they name another."""
    budget_usd: Usd | None = None
    lane: LaneWish = LaneWish.LIVE
    priority: Priority = Priority.NORMAL
    model: str | None = None
    """Of stages that name none."""
    source: SourceSection
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    sinks: tuple[SinkSection, ...] = ()

    @model_validator(mode="after")
    def _flows(self) -> Self:
        names = [stage.name for stage in self.stages]
        try:
            flow = Flow.of([_node(stage) for stage in self.stages])
        except Unfit as error:
            raise ValueError(f"stages[{error.stage}]: {error}") from error
        for number, stage in enumerate(self.stages):
            if stage.model is None and self.model is None:
                raise ValueError(f"stages[{number}].model: expected a model or a route")
            _check_variables(number, stage, flow.variables(number))
        for number, sink in enumerate(self.sinks):
            if sink.of is not None and sink.of not in names:
                raise ValueError(f"sinks[{number}].of: {_none_called(sink.of, names)}")
        return self

    @cached_property
    def flow(self) -> Flow:
        """Which stage comes after which."""
        return Flow.of([_node(stage) for stage in self.stages])

    @property
    def zone_info(self) -> ZoneInfo:
        """The zone of its times."""
        return ZoneInfo(self.zone or (self.schedule.zone if self.schedule else "UTC"))

    @property
    def budget_nanos(self) -> int | None:
        """What a run may cost; None without a bound."""
        return None if self.budget_usd is None else parse_usd(self.budget_usd)

    @property
    def window(self) -> RunWindow | None:
        """The hours in which its batches may run; None for all."""
        text = self.run_window
        if text is None:
            return None
        return RunWindow.of(text if " " in text else f"{text} {self.zone_info.key}")

    def day_of(self, due_at: datetime) -> date:
        """Return what `{date}` stands for in a run that is due then."""
        return due_at.astimezone(self.zone_info).date()

    def deadline_of(self, due_at: datetime) -> datetime | None:
        """Return by when a run is wanted that is due then; None for no time."""
        if self.deadline is None:
            return None
        return next_time(due_at, time.fromisoformat(self.deadline), self.zone_info)

    def model_of(self, stage: Stage) -> str:
        """Return the model or route of a stage's jobs."""
        return stage.model or self.model or ""

    def defaults_of(self, stage: Stage) -> JobDefaults:
        """Return the defaults of a stage's batches."""
        return msgspec.structs.replace(stage.defaults, model=self.model_of(stage))

    def stage_number(self, name: str | None) -> int:
        """Return which of `stages` has this name; the last one for None."""
        if name is None:
            return len(self.stages) - 1
        return next(number for number, stage in enumerate(self.stages) if stage.name == name)

    def to_json(self) -> str:
        """Return the text that is stored with a run."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the pipeline that `to_json` wrote."""
        return cls.model_validate_json(text)

    @property
    def digest(self) -> str:
        """What is the same for two files that say the same."""
        return blake2b(self.to_json().encode(), digest_size=8).hexdigest()


def load_pipeline(path: Path) -> Pipeline:
    """Read and check one file.

    Raises:
        ConfigurationError: it can't be read, or something in it can't be; the message is a line for
            each fault: file, line, path of the field, what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    try:
        _read_files(data, path.parent)
        pipeline = Pipeline.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_faults(path, text, error))) from error
    _check_files_differ(path, text, pipeline)
    return pipeline


def check_models(pipeline: Pipeline, catalogue: Catalogue) -> None:
    """Find out whether the configuration serves every stage's model.

    Raises:
        ConfigurationError: it doesn't; the message names the stage.
    """
    for number, stage in enumerate(pipeline.stages):
        try:
            catalogue.resolve(pipeline.model_of(stage))
        except UnknownModel as error:
            raise ConfigurationError(
                f"pipeline {pipeline.name}: stages[{number}].model: {error.message}"
            ) from error


def _node(stage: Stage) -> Node:
    after = (stage.after,) if isinstance(stage.after, str) else stage.after
    return Node(
        stage.name, after, stage.join or (after is not None and len(after) > 1), stage.branch
    )


def _check_variables(number: int, stage: Stage, known: frozenset[str]) -> None:
    for field, used in stage.variables.items():
        there = known | {"output"} if field == "check" else known
        for name in sorted(used - there):
            raise ValueError(f"stages[{number}].{field}: {_none_called(name, there, 'variable')}")


def _none_called(name: str, there: Any, what: str = "stage") -> str:
    return f"there is no {what} `{name[:40]}` here; there are {', '.join(sorted(there))}"


def _read_files(data: Any, folder: Path) -> None:
    """Put what `file:PATH` names into the place of its name, beside the pipeline's own file."""
    stages = data.get("stages") if isinstance(data, dict) else None
    for number, stage in enumerate(stages if isinstance(stages, list) else ()):
        for field in JSON_FIELDS if isinstance(stage, dict) else ():
            value = stage.get(field)
            if not isinstance(value, str) or not value.startswith("file:"):
                continue
            named = folder / value.removeprefix("file:")
            try:
                stage[field] = json.loads(named.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"stages[{number}].{field}: {named} can't be read as JSON: {error}"
                ) from error


def _check_files_differ(path: Path, text: str, pipeline: Pipeline) -> None:
    """Refuse sinks of which the last would replace what another has written."""
    writers: dict[str, int] = {}
    for number, sink in enumerate(pipeline.sinks):
        target = sink.ndjson or sink.csv or sink.parquet
        if target is None:
            continue
        first = writers.setdefault(posixpath.normpath(target), number)
        if first != number:
            line = line_of(text, ("sinks", number, sink.what))
            raise ConfigurationError(
                f"{path}, line {line}: sinks[{number}].{sink.what}: sinks[{first}] writes this file"
            )


def _faults(path: Path, text: str, error: ValidationError) -> Iterator[str]:
    faults = error.errors(include_url=False, include_input=False)
    for fault in faults:
        place = fault["loc"]
        inside = (other["loc"] for other in faults if len(other["loc"]) > len(place))
        if fault["type"] == "too_short" and any(each[: len(place)] == place for each in inside):
            continue  # what is there has faults, and was not counted
        words = wording.in_words(fault)
        if not place and (named := _NAMED_PLACE.match(words)) is not None:
            line = line_of(text, (named["list"], int(named["number"]), named["field"] or ""))
        else:
            line = line_of(text, place)
        where = f", line {line}" if line else ""
        yield f"{path}{where}: {shown(place) + ': ' if place else ''}{words}"
