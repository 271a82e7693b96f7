"""Rows of another pipeline: the output of its newest run that is completed."""

from collections.abc import Iterator

from jobs.errors import UnreadableSource
from jobs.pipelines.ends import SourceSection
from jobs.pipelines.files import Pipeline
from jobs.pipelines.rows import RunFacts, SourceRow
from jobs.store import Database
from jobs.store.runs import runs
from workers.pipelines.outputs import output_rows


def earlier_rows(source: SourceSection, run: RunFacts, database: Database) -> Iterator[SourceRow]:
    """Yield the output rows of a stage; their fields are what that pipeline's rows had and got.

    Raises:
        UnreadableSource: no run of it is completed, or it has no such stage.
    """
    assert source.pipeline is not None  # or it is another source
    with database.read() as session:
        earlier = runs.newest_completed(session, run.project_id, source.pipeline)
    if earlier is None or earlier.id is None:
        raise UnreadableSource(f"no run of {source.pipeline} is completed yet")
    pipeline = Pipeline.from_json(earlier.definition)
    names = [stage.name for stage in pipeline.stages]
    if source.of is not None and source.of not in names:
        raise UnreadableSource(
            f"run {earlier.ref} of {source.pipeline} has no stage `{source.of}`; "
            f"there are {', '.join(names)}"
        )
    stage_no = pipeline.stage_number(source.of)
    for row in output_rows(database, earlier.id, pipeline, stage_no):
        yield SourceRow(row.key, row.fields)
