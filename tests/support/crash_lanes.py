"""The lives of native batches that are cut short: sent, called off, and lost by their provider's list.

A process of these lives is a worker's hand in the batch lanes, with the sweep that tells it what is due.
Its third port is the provider's batch API, of which each request is an operation: `before` it was sent,
`after` the provider has done it and nobody here has read that.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from sqlalchemy import update
from sqlmodel import col, select

from jobs.configuration import Configuration
from jobs.states import BatchState, LaneWish, NativeState
from jobs.store import Database, now
from jobs.store.batches import batches
from jobs.store.native import lane_shares, native
from jobs.tables import Batch, NativeBatch
from tests.support.crash_lane_judge import all_is_well
from tests.support.crash_lives import Play, do
from tests.support.crash_points import Life, Moment, Point
from tests.support.crash_stage import (
    LONG_AGO,
    PROJECT_ID,
    QUEUE,
    Cast,
    Stage,
    accept,
    is_all_final,
    play,
)
from tests.support.fake_lane import parts_of
from tests.support.system import PATHS, PRICES, SMALL, lines
from workers.clock.sweep import Sweep
from workers.lanes.office import Office
from workers.lanes.wire import LaneHttp

if TYPE_CHECKING:
    # Imported by pytest itself, as a plugin of the modules that use it.
    from tests.support.simulator import Simulator

JOBS = list(lines(3))
"""Two slices; they are journaled, and their results are settled, two lines at a time."""

LOOK_EVERY_S = 0.01

PATIENCE_S = 20.0
"""After which a process has done nothing that ends it."""

AT_ONCE = {"takes_s": 0, "validates_s": 0, "finalizes_s": 0, "cancels_s": 0, "list_lag_s": 0}
"""How the provider's batches go: what is asked for is there when it is asked about."""

HALF = {**AT_ONCE, "stall": 0.5}
HIDDEN = {**AT_ONCE, "list_lag_s": 3600}

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Reading the authorities that nobody is asked about takes longer than all else that a process does."""

ERRANDS = {
    "upload": r"POST /v1/files",
    "create": r"POST /v1/batches",
    "find": r"GET /v1/batches",
    "look": r"GET /v1/batches/[^/]+",
    "cancel": r"POST /v1/batches/[^/]+/cancel",
    "results": r"GET /v1/files/[^/]+/content",
    "tidy": r"DELETE /v1/files/[^/]+",
}
"""What is asked of the provider, by what the operations are called."""


class CountedErrands(httpx.AsyncHTTPTransport):
    """The batch API's port."""

    def __init__(self, life: Life) -> None:
        super().__init__(trust_env=False, verify=NO_AUTHORITIES)
        self._life = life

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        asked = f"{request.method} {request.url.path}"
        name = next(name for name, form in ERRANDS.items() if re.fullmatch(form, asked))
        operation = self._life.begin(name)
        response = await super().handle_async_request(request)
        operation.is_at(Moment.AFTER)
        return response


def configuration(provider_url: str) -> Configuration:
    """Return a provider with a batch lane that is looked at all the time."""
    paid_in, paid_out = PRICES[SMALL]
    return Configuration.model_validate(
        {
            "providers": {
                QUEUE: {
                    "protocol": "openai",
                    "base_url": provider_url + PATHS["openai"],
                    "models": ["sim-*"],
                    "batch_lane": {"look_every_s": LOOK_EVERY_S, "cancel_s": 0, "turnaround_s": 1},
                }
            },
            "prices": {
                f"{QUEUE}/{SMALL}": {
                    "input": paid_in,
                    "output": paid_out,
                    "batch_input": str(float(paid_in) / 2),
                    "batch_output": str(float(paid_out) / 2),
                }
            },
        }
    )


def work(cast: Cast) -> None:
    """Be a worker in the lanes until all is done, and nothing is at the provider that isn't known.

    Raises:
        AssertionError: it doesn't come to that.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.lanes.lanes.LaneHttp", lambda: LaneHttp(CountedErrands(cast.life)))
        patch.setattr("workers.lanes.packing.LINES_TOGETHER", 2)
        patch.setattr("workers.lanes.ingest.LINES_TOGETHER", 2)
        patch.setattr("workers.lanes.office.STEPS", 4)
        asyncio.run(_work(cast))


async def _work(cast: Cast) -> None:
    parts = parts_of(cast.database, cast.stage.settings, configuration(cast.stage.provider_url))
    office, sweep = Office(parts), Sweep(cast.database, cast.celery)
    bystander = Database(cast.database.engine)
    until_s = time.monotonic() + PATIENCE_S
    while not _is_over(cast.stage, bystander):
        assert time.monotonic() < until_s, "there is something in the lanes that nobody ends"
        sweep.cancel_batches()
        with bystander.read() as session:
            undecided, due = lane_shares.undecided(session), native.due(session, limit=10)
        for _, ref in undecided:
            await office.share_out(ref)
        for _, ref in due:
            await office.look_after(ref)
        if not undecided and not due:
            await asyncio.sleep(LOOK_EVERY_S)
    await office.end()
    parts.transactions.close()


def _is_over(stage: Stage, database: Database) -> bool:
    """Whether all batches have ended; then the provider hides nothing any more, and all of it is known."""
    if not is_all_final(database):
        return False
    with httpx.Client(
        base_url=stage.provider_url, trust_env=False, verify=NO_AUTHORITIES
    ) as client:
        client.post("/_sim/faults", json={"faults": [], "batches": AT_ONCE}).raise_for_status()
        rows = client.get("/_sim/ledger/rows").raise_for_status().content.splitlines()
    with database.read() as session:
        known = session.exec(
            select(NativeBatch.remote_id).where(NativeBatch.state == NativeState.ENDED)
        ).all()
    return {orjson.loads(row)["batch"] for row in rows} <= {*known}


def let_time_pass(database: Database) -> None:
    """Let every claim be a dead one's, and what is looked for be looked for long enough."""
    with database.write() as session:
        past = now(session) - LONG_AGO
        connection = session.connection()
        connection.execute(
            update(NativeBatch)
            .where(col(NativeBatch.claimed_until).is_not(None))
            .values(claimed_until=past)
        )
        connection.execute(
            update(NativeBatch)
            .where(col(NativeBatch.state) == NativeState.SENDING)
            .values(expires_at=past)
        )
        connection.execute(
            update(Batch).where(col(Batch.lane_due_at).is_not(None)).values(lane_due_at=past)
        )


def die_and_recover(stage: Stage, simulator: "Simulator", life: Play, *deaths: Point) -> None:
    """Kill one process after the other, and judge what the last one leaves."""
    with stage.database() as database:
        for point in deaths:
            play(stage, life.act, point)
            let_time_pass(database)
        do(stage, life.act)
        all_is_well(database, simulator.rows())


# The lives


def _submit(cast: Cast) -> None:
    accept(cast, JOBS, lane=LaneWish.BATCH)


def submitted(stage: Stage) -> None:
    """Leave a batch that is to be shared out."""
    do(stage, _submit)


def called_off(stage: Stage) -> None:
    """Leave a batch that was cancelled while its native batch had come to its first half."""
    _set_ways(stage, HALF)
    submitted(stage)
    play(stage, work, Point("move", 1, Moment.AFTER))
    with stage.database() as database, database.write() as session:
        ref = session.exec(select(Batch.ref)).one()
        batches.move(session, PROJECT_ID, ref, BatchState.CANCELLING)


def hidden(stage: Stage) -> None:
    """Leave a native batch of which its provider has told nobody, and that no list has."""
    _set_ways(stage, HIDDEN)
    submitted(stage)
    play(stage, work, Point("create", 1, Moment.AFTER))
    with stage.database() as database:
        let_time_pass(database)


def _set_ways(stage: Stage, ways: Mapping[str, Any]) -> None:
    body = {"faults": [], "batches": ways}
    httpx.post(
        f"{stage.provider_url}/_sim/faults", json=body, trust_env=False, verify=NO_AUTHORITIES
    ).raise_for_status()


LANE = Play(
    work,
    {
        "begin": 1,
        "go_on": 2,
        "make": 1,
        "end": 1,
        "claim": 3,
        "enqueue": 1,
        "journal": 2,
        "upload": 1,
        "write": 2,
        "create": 1,
        "move": 3,
        "tell_waits": 1,
        "look": 2,
        "results": 1,
        "settle": 2,
        "release": 2,
        "tidy": 2,
    },
    prepare=submitted,
)
"""A native batch's from its making to its end."""

RECALL = Play(
    work,
    {
        "finish_if_complete": 2,
        "claim": 3,
        "look": 3,
        "cancel": 1,
        "move": 3,
        "write": 1,
        "results": 1,
        "settle": 3,
        "release": 2,
        "tidy": 2,
    },
    prepare=called_off,
    own={"finish_if_complete": [1], "look": [1, 2], "cancel": [1], "move": [1], "settle": [1, 3]},
)
"""The rest of one's whose batch was cancelled; the sweep tries to end that before and after it."""

SEARCH = Play(
    work,
    {
        "claim": 8,
        "find": 5,
        "settle": 6,
        "split": 1,
        "move": 8,
        "enqueue": 1,
        "journal": 2,
        "upload": 1,
        "write": 4,
        "create": 1,
        "tell_waits": 1,
        "look": 3,
        "results": 2,
        "release": 2,
        "tidy": 4,
    },
    prepare=hidden,
    own={
        "find": [1, 5],
        "settle": [1, 5],
        "split": [1],
        "move": [1],
        "create": [1],
        "write": [3],
    },
    by_the_clock=frozenset({"claim", "find", "move"}),
)
"""One's that is looked for in vain, sent again, and turns up in the end."""


LIVES = {"lane": LANE, "recall": RECALL, "search": SEARCH}

LOCKING = [
    Point(name, 1, Moment.BEFORE)
    for name in ("make", "enqueue", "journal", "write", "move", "settle", "release")
]
"""Of a native batch's life: one for each kind of write that locks the rows of others."""
