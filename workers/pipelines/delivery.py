"""Writing a sink of a run, while its claim is renewed."""

from collections.abc import Iterator
from time import monotonic

from jobs.pipelines.rows import OutputRow, WriteSink, Written
from jobs.store.runs import run_claims
from workers.pipelines.advancing import Turn
from workers.pipelines.keeping import RENEWED_EVERY_S
from workers.pipelines.outputs import output_rows
from workers.pipelines.reading import facts_of


def deliver(turn: Turn, sink_no: int, write: WriteSink) -> Written:
    """Write a sink; done twice, or by two, the second time changes nothing.

    Raises:
        LeaseLost: another process writes it now.
    """
    pipeline = turn.stages.pipeline
    sink = pipeline.sinks[sink_no]
    stage_no = pipeline.stage_number(sink.of)
    rows = output_rows(turn.database, turn.run_id, pipeline, stage_no, sink.columns)
    return write(sink, facts_of(turn.run), _holding(turn, rows))


def _holding(turn: Turn, rows: Iterator[OutputRow]) -> Iterator[OutputRow]:
    renewed_at_s = monotonic()
    for row in rows:
        if monotonic() - renewed_at_s > RENEWED_EVERY_S:
            renewed_at_s = monotonic()
            with turn.database.write() as session:
                run_claims.hold(session, turn.run_id, *turn.claim)
        yield row
