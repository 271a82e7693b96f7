"""What a stage of a run has made, read by the page: for a sink, or for a run that goes on from there."""

from collections.abc import Iterator, Mapping

from jobs.pipelines.documents import Document
from jobs.pipelines.files import Pipeline
from jobs.pipelines.outputs import output_row
from jobs.pipelines.rows import OutputRow
from jobs.states import ItemState
from jobs.store import Database
from jobs.store.runs.run_items import items_of, output_page, outputs_of, rows_of

ROWS_AT_ONCE = 200
"""Of a page: each has the outputs of all stages before."""


def output_rows(
    database: Database,
    run_id: int,
    pipeline: Pipeline,
    stage_no: int,
    columns: Mapping[str, str] | None = None,
) -> Iterator[OutputRow]:
    """Yield the rows that a stage has done, in the order of the source; of an ended run always the same."""
    after = (0, "")
    wanted = {stage_no, *pipeline.flow.before(stage_no)}
    while True:
        with database.read() as session:
            places = output_page(session, run_id, stage_no, after, ROWS_AT_ONCE)
            if not places:
                return
            numbers = {number for number, _ in places}
            rows = rows_of(session, run_id, numbers)
            done = {
                number: {
                    place: item.job
                    for place, item in items.items()
                    if place[0] in wanted and item.state is ItemState.DONE and item.job is not None
                }
                for number, items in items_of(session, run_id, numbers).items()
            }
            outputs = outputs_of(session, (job for jobs in done.values() for job in jobs.values()))
        documents = {
            number: Document(
                row.key,
                row.fields,
                {place: outputs[job] for place, job in done[number].items() if job in outputs},
            )
            for number, row in rows.items()
        }
        for number, branch in places:
            yield output_row(pipeline, stage_no, branch, documents[number], columns)
        after = places[-1]
