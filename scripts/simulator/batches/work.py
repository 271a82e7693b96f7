"""Running one line of a batch: the model answers it as it would a live call, at half the price."""

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from scripts.simulator.batches.form import Line
from scripts.simulator.batches.shelf import Entry
from scripts.simulator.calls import Answer, Failure
from scripts.simulator.faults import Place
from scripts.simulator.ledger import Ended, LineOfBatch, Requested
from scripts.simulator.mind import body_of
from scripts.simulator.prompt_caches import NOTHING_FOUND
from scripts.simulator.troubles import Trouble

if TYPE_CHECKING:
    from scripts.simulator.batches.batch import Batch
    from scripts.simulator.batches.desk import Desk

OK = 200


class Made(NamedTuple):
    """What became of the line at that `position`; one that `is_apart` is in the file of errors."""

    position: int
    entry: Entry
    is_apart: bool


def run_line(desk: "Desk", batch: "Batch", position: int, now_s: float) -> Made:
    """Run a line and enter it in the ledger and in the batch's counts."""
    order, line = batch.order, batch.order.lines[position]
    dialect, call = order.dialect, line.call
    failure, trouble = _what_goes_wrong(desk, batch, line)
    error = None if failure is None else dialect.error(failure, order.model, position)
    status = OK if error is None else error.status
    billed: Answer | None = None
    if call is not None and error is None:
        billed = desk.mind.answer(dialect, call, trouble, NOTHING_FOUND)
    requested = Requested("", dialect.NAME, order.model)
    if call is not None:
        requested = Requested(call.job_id, dialect.NAME, call.model)
    row = desk.enter(LineOfBatch(batch.id, line.custom_id), requested, Ended(status, billed), now_s)
    body: Any = None if error is None else error.body
    if call is not None and billed is not None:
        body = body_of(dialect, call, billed, trouble, row)
    batch.count(billed)
    result = order.form.result(line.custom_id, status, body, row)
    return Made(position, Entry(row, as_line(result)), order.form.is_apart(status))


def as_line(document: Any) -> bytes:
    """Return a document as a line of a file."""
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def _what_goes_wrong(
    desk: "Desk", batch: "Batch", line: Line
) -> tuple[Failure | None, Trouble | None]:
    order = batch.order
    if line.call is None:
        return line.failure, None
    fault = desk.faults.draw(order.dialect.NAME, line.call.model, order.key, line.call, Place.LINE)
    if fault is None:
        return None, None
    return None if fault.failure is None else Failure(fault.failure), fault.trouble
