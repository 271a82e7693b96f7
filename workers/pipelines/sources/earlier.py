"""Rows of another pipeline: the output of its newest run that is completed."""

from collections.abc import Iterator

from jobs.errors import UnreadableSource
from jobs.pipelines.ends import SourceSection
from jobs.pipelines.rows import RunFacts, SourceRow
from jobs.store import Database


def earlier_rows(source: SourceSection, run: RunFacts, database: Database) -> Iterator[SourceRow]:
    """Yield the output rows of a stage; their fields are what that pipeline's rows had and got.

    Raises:
        UnreadableSource: no run of it is completed, or it has no such stage.
    """
    raise UnreadableSource(
        f"the output of {source.pipeline} can't be read yet, for {run.ref} of {database}"
    )
