"""What goes into a run and comes out of it, and the doors through which it does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from jobs.pipelines.ends import SinkSection, SourceSection


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a source and a sink are told of the run that they work for."""

    run_id: int
    ref: str
    project_id: int
    pipeline: str
    day: date
    """What `{date}` stands for: of the time at which the run was due, in the schedule's zone."""
    due_at: datetime


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a source. `key` is its name in every run, and `fields` are values of JSON."""

    key: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OutputRow:
    """A row for a sink. `key` is that of its source's row, with `/VALUE` behind it in a branch."""

    key: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """What a sink has written. `place` is told to people: a path, an address without secrets."""

    rows: int
    place: str


class ReadSource(Protocol):
    """Yields a source's rows, the same ones whenever it is asked again for the same run.

    Raises:
        UnreadableSource: it can't be read; asked again later, perhaps it can.
    """

    def __call__(self, source: SourceSection, run: RunFacts) -> Iterator[SourceRow]:
        """Begin to read."""


class WriteSink(Protocol):
    """Writes a run's rows; done twice, the second time changes nothing."""

    def __call__(self, sink: SinkSection, run: RunFacts, rows: Iterator[OutputRow]) -> Written:
        """Write all of them."""
