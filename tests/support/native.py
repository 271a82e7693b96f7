"""Native batches that tests start from."""

from typing import Any

from jobs.exchange import Usage
from jobs.prices import Price
from jobs.states import NativeState, Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import Journal, ResultDraft, Settlement
from jobs.store.native import native, native_books, native_making
from jobs.store.native.native import Group, Native
from jobs.store.native.native_making import PlannedSlice
from jobs.store.native.native_slices import HeldSlice, SentLine, held_slices, sent_lines
from tests.support.rows import batch_of

GROUP = Group("sim", "main", "sim-small", "/chat/completions")
PRICE = Price.from_json("[[0,500,500,500,1000]]")
LIVE_PRICE = Price.from_json("[[0,1000,1000,1000,2000]]")
USAGE = Usage(input_tokens=1_000_000, output_tokens=1_000_000)


def made(database: Database, ref: str, *numbers: int, jobs: int = 10, tokens: int = 100) -> str:
    """Make a native batch of slices of a batch."""
    batch = batch_of(database, ref)
    assert batch.id is not None
    planned = [PlannedSlice(no, jobs, tokens, 1000) for no in numbers]
    with database.write() as session:
        name = native_making.make(session, batch.id, GROUP, planned)
    assert name is not None
    return name


def claimed(database: Database, name: str) -> Native:
    """Claim a native batch, of which a step must be due."""
    with database.write() as session:
        found = native.claim(session, name)
    assert found is not None
    return found


def held(database: Database, of: Native) -> list[HeldSlice]:
    """Read its slices."""
    with database.read() as session:
        return held_slices(session, of)


def lines_of(database: Database, of: Native) -> list[SentLine]:
    """Read all of its lines."""
    with database.read() as session:
        return [
            line for piece in held_slices(session, of) for line in sent_lines(session, of, piece)
        ]


def journals(of: Native, piece: HeldSlice, *, n: int = 1, nanos: int = 3000) -> list[Journal]:
    """Return an attempt for each job of a slice."""
    return [
        Journal(
            lease=piece.lease,
            seq=seq,
            n=n,
            provider=of.group.provider,
            pool=of.group.pool,
            model=of.group.model,
            price=PRICE.to_json(),
            reserved_nanos=nanos,
            native_id=of.id,
            live_price=LIVE_PRICE.to_json(),
        )
        for seq in range(piece.cut.first_seq, piece.cut.last_seq + 1)
    ]


def packed(database: Database, ref: str, *numbers: int) -> Native:
    """Make a native batch, claim it and journal all of its lines."""
    of = claimed(database, made(database, ref, *numbers))
    for piece in held(database, of):
        with database.write() as session:
            native_books.journal(session, of, journals(of, piece))
    return of


def answered(line: Journal) -> Settlement:
    """Return a good answer to a line."""
    good = ResultDraft(
        ResultStatus.SUCCEEDED, output='""', finish_reason="complete", source="batch"
    )
    return Settlement(
        line, Outcome.SUCCEEDED, usage=USAGE, cost_nanos=PRICE.cost_nanos(USAGE), result=good
    )


def moved(database: Database, of: Native, to: NativeState, **values: Any) -> Native:
    """Move a claimed native batch on, and claim it again."""
    with database.write() as session:
        native.move(session, of, to, **values)
    return claimed(database, of.ref)
