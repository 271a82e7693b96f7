"""Results as large as they come: what reads them holds a few megabytes, however many there are."""

import tracemalloc
from collections.abc import Iterator, Sequence

import orjson
import pytest

from api.results.as_csv import csv_pieces
from api.results.as_lines import line_pieces
from api.results.as_parquet import parquet_pieces
from api.results.pages import ResultReading
from api.results.tables import Joined
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.money.settlement import flush
from jobs.store.results.results import PAGE_BYTES, ResultOrder, ResultRow, page
from tests.support.rows import journal_of, lease_of, seed_batch

LARGE = '"' + "x" * 1_000_000 + '"'

orders = pytest.mark.parametrize(("order", "start"), [("finished", 0), ("input", -1)])


def answer(database: Database, outputs: list[str | None], attempts: int = 1) -> None:
    """Give the jobs of a new batch these outputs, each after so many attempts."""
    count = len(outputs)
    lease = lease_of(database, seed_batch(database, jobs=count, slice_size=count))
    for n in range(1, attempts):
        with database.write() as session:
            flush(session, [journal_of(lease, seq, n=n) for seq in range(count)], [])
    journals = [journal_of(lease, seq, n=attempts) for seq in range(count)]
    with database.write() as session:
        flush(session, journals, [])
    for journal, output in zip(journals, outputs, strict=True):
        draft = ResultDraft(ResultStatus.SUCCEEDED, output=output)
        with database.write() as session:
            flush(session, [], [Settlement(journal, Outcome.SUCCEEDED, result=draft)])


def sizes(database: Database, order: str, after: int, limit: int = 100) -> list[int]:
    with database.read() as session:
        rows = page(session, 1, order=ResultOrder(order), after=after, limit=limit)
    return [len(row.output or "") for row in rows]


def pages_of(
    database: Database, order: str, start: int, count: int, *, with_requests: bool = False
) -> Iterator[Sequence[ResultRow]]:
    reading = ResultReading(database, 1, ResultOrder(order), with_requests)
    return reading.pages(start, count)


@orders
def test_a_page_ends_where_its_outputs_are_enough(
    database: Database, order: str, start: int
) -> None:
    third = '"' + "x" * (PAGE_BYTES // 3) + '"'
    answer(database, [third, None, third, third, "1", third])
    assert sizes(database, order, start) == [len(third), 0, len(third)]
    assert sizes(database, order, start + 3) == [len(third), 1, len(third)]
    assert sizes(database, order, start, limit=1) == [len(third)]
    assert sizes(database, order, start + 6) == []


@orders
def test_a_result_that_is_larger_than_a_page_comes_alone(
    database: Database, order: str, start: int
) -> None:
    giant = '"' + "x" * (2 * PAGE_BYTES) + '"'
    answer(database, ["1", giant, "2"])
    assert [sizes(database, order, start + seen) for seen in range(3)] == [[1], [len(giant)], [1]]


@orders
def test_many_large_results_are_never_in_memory_together(
    database: Database, order: str, start: int
) -> None:
    count = 60
    answer(database, [LARGE] * count, attempts=3)
    tracemalloc.start()
    try:
        lines = largest_bytes = 0
        for piece in line_pieces(pages_of(database, order, start, count)):
            lines += piece.count(b"\n")
            largest_bytes = max(largest_bytes, len(piece))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == count
    assert largest_bytes < 2 * len(LARGE)
    assert peak_bytes < 8 * PAGE_BYTES


@orders
def test_a_stream_has_every_result_once_and_its_attempts(
    database: Database, order: str, start: int
) -> None:
    outputs = ['"' + "x" * (number * 50_000) + '"' for number in range(40)]
    answer(database, list(outputs), attempts=2)
    stream = b"".join(line_pieces(pages_of(database, order, start, len(outputs))))
    lines = [orjson.loads(line) for line in stream.splitlines()]
    assert [line["custom_id"] for line in lines] == [f"job-{seq}" for seq in range(40)]
    assert [len(line["output"]) + 2 for line in lines] == [len(output) for output in outputs]
    assert {line["attempts"] for line in lines} == {2}


@pytest.mark.parametrize("shape", ["csv", "parquet"])
def test_tables_of_many_large_results_are_never_in_memory_as_a_whole(
    database: Database, shape: str
) -> None:
    count = 60
    answer(database, [LARGE] * count)
    pages = pages_of(database, "input", -1, count, with_requests=True)
    joined = Joined(None)
    list(parquet_pieces(iter(()), joined))  # what the library itself takes, once
    tracemalloc.start()
    try:
        pieces = csv_pieces(pages, joined, has_mark=False)
        if shape == "parquet":
            pieces = parquet_pieces(pages, joined)
        sent_bytes = sum(map(len, pieces))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent_bytes > (count * len(LARGE) if shape == "csv" else 0)
    assert peak_bytes < 20 * PAGE_BYTES
