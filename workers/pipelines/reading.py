"""Reading a run's source: rows in, numbered and begun by the chunk; what was read before is known by its key.

One that was not wholly read is read again from its start: rows that the run has are passed over.
"""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice

import msgspec

from jobs.characters import has_hidden
from jobs.errors import UnusableRow
from jobs.pipelines.rows import ReadSource, RunFacts, SourceRow
from jobs.store.runs import run_sources
from jobs.store.runs.handover import NewRow, Step
from jobs.store.runs.run_items import TakenRow, keys_there
from jobs.tables import Run
from workers.pipelines.advancing import Turn, write
from workers.pipelines.rows_ahead import RowsAhead, begin_all

ROWS_AT_ONCE = 500
"""Of a source that one transaction takes."""

MAX_KEY_CHARACTERS = 400
"""Of a row's key, behind which a branch has its place in the names of jobs."""

_encode = msgspec.json.Encoder(order="deterministic").encode


def facts_of(run: Run) -> RunFacts:
    """Return what a source or a sink is told of a run."""
    assert run.id is not None  # a stored row has its key
    return RunFacts(run.id, run.ref, run.project_id, run.pipeline, run.day, run.due_at)


def read_source(turn: Turn, read: ReadSource) -> None:
    """Take all rows of a run's source.

    Raises:
        UnreadableSource: it can't be read; what was taken stays.
        UnusableRow: a row of it can't be named; likewise.
        LeaseLost: another process reads it now, or the run has ended.
    """
    source = turn.stages.pipeline.source
    rows = read(source, facts_of(turn.run))
    if source.limit is not None:
        rows = islice(rows, source.limit)
    old_rows = double_rows = 0
    seen: set[bytes] = set()
    for chunk in _chunks(rows):
        new, doubles = _new_rows(chunk, seen)
        old, again, there = _take(turn, new)
        old_rows += old
        double_rows += doubles + again
        if not there:
            return
    with turn.database.write() as session:
        run_sources.count_left_out(session, turn.run_id, old_rows, double_rows)
        run_sources.finish_reading(session, turn.run_id, turn.claim)


def _take(turn: Turn, rows: dict[str, NewRow]) -> tuple[int, int, bool]:
    """Take rows that are not there; return how many are old, how many others' doubles, and if it goes on."""
    if not rows:
        return 0, 0, True
    digests = {key: row.digest for key, row in rows.items()}
    with turn.database.read() as session:
        there = keys_there(session, turn.run_id, rows)
        done = (
            run_sources.done_before(session, turn.run, digests)
            if turn.stages.pipeline.source.only_new
            else set()
        )
        taken = run_sources.rows_taken(session, turn.run_id)
        doubles = sum(digests[key] != digest for key, digest in there.items())
        old = len(done - there.keys())
        new = [row for key, row in rows.items() if key not in there and key not in done]
        numbered = {
            number: TakenRow(number, row.key, row.document)
            for number, row in enumerate(new, start=taken + 1)
        }
        ahead = RowsAhead(turn.stages, numbered, {number: {} for number in numbered})
        begun = begin_all(session, ahead)
    step = Step(turn.claim, new_rows=new, first_number=taken + 1, begun=begun)
    return old, doubles, write(turn, step)


def _new_rows(chunk: list[SourceRow], seen: set[bytes]) -> tuple[dict[str, NewRow], int]:
    """Return the rows of a chunk by key, of those with the same the first, and how many others there are."""
    rows: dict[str, NewRow] = {}
    for row in chunk:
        _check_key(row.key)
        # Eight bytes of a digest, as keys of a million rows would take ten times as much.
        known = blake2b(row.key.encode(), digest_size=8).digest()
        if known in seen:
            continue
        seen.add(known)
        document = _encode(row.fields)
        digest = blake2b(document, digest_size=16).hexdigest()
        rows[row.key] = NewRow(row.key, document.decode(), digest)
    return rows, len(chunk) - len(rows)


def _chunks(rows: Iterator[SourceRow]) -> Iterator[list[SourceRow]]:
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        yield chunk


def _check_key(key: str) -> None:
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or has_hidden(key):
        raise UnusableRow(
            f"a row's key is {key[:80]!r}: expected 1 to {MAX_KEY_CHARACTERS} characters without control "
            "characters"
        )
