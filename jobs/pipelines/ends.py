"""Where a pipeline's rows come from, and where they go to: the sections `[source]` and `[[sinks]]`."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from jobs import wording
from jobs.pipelines.sections import Reference, Section, StageName

Text = Annotated[str, Field(min_length=1)]


class SourceSection(Section):
    """One of `files`, `sql`, `http` and `pipeline`, and what belongs to it."""

    files: Text | None = None
    """A path or a pattern of paths; `{date}` is the run's day."""
    format: Literal["auto", "ndjson", "json", "csv", "parquet"] = "auto"
    """Of files, by default what their names end with."""
    sql: Text | None = None
    """A query; `:date` is the run's day."""
    database: Reference | None = None
    """Its SQLAlchemy address."""
    http: Text | None = None
    """An address, of which `{date}` is the run's day."""
    authorization: Reference | None = None
    """What is sent as the header `Authorization` with it."""
    rows: Text | None = None
    """Where the rows are in an answer, such as `data.items`; by default it is their list."""
    next: Text | None = None
    """Where an answer names the address of the next page, such as `links.next`."""
    pipeline: Annotated[str, Field(pattern=wording.NAME)] | None = None
    """Whose newest completed run's output is read."""
    of: StageName | None = None
    """The stage of that pipeline; by default its last."""
    key: Text | None = None
    """The field that names a row; by default `id`, else its place."""
    only_new: bool = False
    """Leave out rows that an earlier run of this pipeline has done as they are."""
    limit: PositiveInt | None = None
    """Rows at most."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in ("files", "sql", "http", "pipeline") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                "expected one of `files`, `sql`, `http` and `pipeline`"
                + (f", got {' and '.join(given)}" if given else "")
            )
        if self.sql and self.database is None:
            raise ValueError('`sql` needs `database`, such as "env:CATALOGUE_URL"')
        return self

    @property
    def what(self) -> str:
        """Which of the four it is."""
        return next(name for name in ("files", "sql", "http", "pipeline") if getattr(self, name))


class SinkSection(Section):
    """One of `ndjson`, `csv`, `parquet`, `sql` and `webhook`, and what belongs to it."""

    ndjson: Text | None = None
    csv: Text | None = None
    parquet: Text | None = None
    """Paths or addresses of object storage; `{date}` is the run's day, `{run}` its name."""
    sql: Text | None = None
    """A table, which gets the rows by upsert."""
    database: Reference | None = None
    """Its SQLAlchemy address."""
    webhook: Reference | None = None
    """The address, which is a secret often enough."""
    secret: Reference | None = None
    """With which a webhook's messages are signed."""
    of: StageName | None = None
    """The stage whose rows it gets; by default the last one of the file."""
    columns: dict[Text, Text] | None = None
    """What each column is, such as `title = "row.title"`; by default the row and all outputs."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in SINKS if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                "expected one of `ndjson`, `csv`, `parquet`, `sql` and `webhook`"
                + (f", got {' and '.join(given)}" if given else "")
            )
        if self.sql and self.database is None:
            raise ValueError('`sql` needs `database`, such as "env:CATALOGUE_URL"')
        return self

    @property
    def what(self) -> str:
        """Which of the five it is."""
        return next(name for name in SINKS if getattr(self, name))


SINKS = ("ndjson", "csv", "parquet", "sql", "webhook")
