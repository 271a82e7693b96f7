"""The lives of runs of pipelines that are cut short: begun by a schedule, handed on, delivered, retried.

A process of these lives is a beat's: what begins runs, and the conductor. Workers answer at once in
between, and are not what dies here. Its third port are the sinks: each delivery is an operation, and
each row that a sink takes.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import create_engine, text, update
from sqlmodel import col, select

from jobs.clock import utcnow
from jobs.pipelines.ends import SinkSection
from jobs.pipelines.folder import PipelineFolder
from jobs.pipelines.rows import OutputRow, RunFacts, Written
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.states import FINAL_RUN_STATES, RunState
from jobs.store import Database, now
from jobs.store.projects import ensure_project
from jobs.store.runs import run_endings
from jobs.tables import Batch, Job, Run, RunBatch, RunClaim, RunSchedule, RunStage
from tests.support.crash_judge import books_balance, everything_is_done
from tests.support.crash_lives import Play, do
from tests.support.crash_points import Moment, Point
from tests.support.crash_stage import LONG_AGO, PROJECT_ID, Cast, Stage, play
from tests.support.nights import CONFIGURATION, COST_NANOS, AtOnce, answer_all
from workers.pipelines.conductor import Conductor, Doors
from workers.pipelines.judging import Judge
from workers.pipelines.rows_ahead import stages_of
from workers.pipelines.sinks import Sinks
from workers.pipelines.sources import Sources
from workers.pipelines.starting import Starter

AGO = timedelta(hours=12)
"""When it was due, which it is once a day: so it isn't again while a test goes on."""

LOOKS = 20
"""After which a run that has not ended is held up by something."""

BUDGET_NANOS = 1000

TOML = """\
name = "articles"
model = "sim-small"
budget_usd = "0.000001"
schedule = { cron = "0 HOUR * * *", overlap = "queue" }
source = { files = "in.ndjson" }
[[stages]]
name = "summary"
kind = "generation"
template = "Summarise: {{ row.text }}"
[[stages]]
name = "translations"
kind = "translation"
text = "{{ summary }}"
for_each = { target = ["fr", "de"] }
[[sinks]]
ndjson = "out.ndjson"
[[sinks]]
sql = "articles"
database = "file:DATABASE"
columns = { text = "row.text" }
[[sinks]]
webhook = "file:WEBHOOK"
"""

ROWS = [{"id": "good", "text": "one"}, {"id": "fine", "text": "two"}, {"id": "bad", "text": "bad"}]


def conduct(cast: Cast) -> None:
    """Be a beat until there is a run and all runs have ended.

    Raises:
        AssertionError: they don't.
    """
    folder, bystander = cast.stage.folder, Database(cast.database.engine)
    catalogue = Catalogue(CONFIGURATION)
    starter = Starter(cast.database, PipelineFolder(folder / "pipelines", catalogue))
    sinks = Sinks(folder)

    def write(sink: SinkSection, run: RunFacts, rows: Iterator[OutputRow]) -> Written:
        operation = cast.life.begin("deliver")
        written = sinks(sink, run, _counted(cast, rows))
        operation.is_at(Moment.AFTER)
        return written

    conductor = Conductor(
        cast.database,
        partial(stages_of, catalogue, PriceBook(CONFIGURATION)),
        Doors(Sources(cast.database, folder), write, feed=repr),
        Judge(CONFIGURATION, catalogue, dict),
        slice_size=2,
        pool=AtOnce(),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.pipelines.reading.ROWS_AT_ONCE", 2)
        patch.setattr("workers.pipelines.advancing.RESULTS_AT_ONCE", 2)
        patch.setattr("workers.pipelines.sinks.messages.ROWS_AT_ONCE", 1)
        for _ in range(LOOKS):
            starter.begin_due()
            if _all_have_ended(bystander):
                return
            conductor.look()
            answer_all(bystander, partial(_answer, folder))
    raise AssertionError("there are runs that nobody brings to their end")


def _counted(cast: Cast, rows: Iterator[OutputRow]) -> Iterator[OutputRow]:
    for row in rows:
        operation = cast.life.begin("row")
        yield row
        operation.is_at(Moment.AFTER)  # the sink asks for the next one


def _all_have_ended(database: Database) -> bool:
    with database.read() as session:
        return {*session.exec(select(Run.state))} <= FINAL_RUN_STATES


def _answer(folder: Path, line: dict[str, Any]) -> str:
    if line["custom_id"] == "bad" and not (folder / "mended").exists():
        raise ValueError("bad_answer")
    return f"an answer to {line['custom_id']}"


def let_time_pass(database: Database) -> None:
    """Let every claim be a dead one's."""
    with database.write() as session:
        past = now(session) - LONG_AGO
        session.connection().execute(update(RunClaim).values(until=past))


class Receiver:
    """A webhook's other end, which knows a message that it has had by its name."""

    def __init__(self) -> None:
        self.messages: dict[str, Any] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.messages[self.headers["webhook-id"]] = json.loads(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/rows"

    @contextmanager
    def listening(self) -> Iterator["Receiver"]:
        """Take messages meanwhile."""
        thread = Thread(target=partial(self._server.serve_forever, poll_interval=0.05))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def keys(self) -> list[str]:
        """Return the keys of all rows that came."""
        rows = [said["rows"] for said in self.messages.values() if said["type"] == "run.rows"]
        return [row["key"] for some in rows for row in some]


# What must hold in the end


def die_and_recover(stage: Stage, life: Play, receiver: Receiver, *deaths: Point) -> None:
    """Kill one process after the other, and judge what the last one leaves."""
    with stage.database() as database:
        for point in deaths:
            play(stage, life.act, point)
            books_balance(database)
            the_budget_holds(database)
            let_time_pass(database)
        do(stage, life.act)
        all_is_well(stage, database, receiver)


def all_is_well(stage: Stage, database: Database, receiver: Receiver) -> None:
    """Assert that there is one run, each of its rows went through once, and each sink has them once."""
    is_mended = (stage.folder / "mended").exists()
    keys = [row["id"] for row in ROWS if is_mended or row["id"] != "bad"]
    delivered = [f"{key}/{target}" for key in keys for target in ("de", "fr")]
    everything_is_done(database)
    the_budget_holds(database)
    with database.read() as session:
        (run,) = session.exec(select(Run)).all()
        assert (run.state, run.rows, run.trouble) == (RunState.COMPLETED, len(ROWS), None)
        summary, translations = session.exec(select(RunStage).order_by(col(RunStage.stage_no)))
        assert (summary.sent, summary.again, summary.done) == (0, 0, len(keys))
        assert summary.failed == len(ROWS) - len(keys)
        assert (translations.sent, translations.again, translations.done) == (0, 0, 2 * len(keys))
        jobs = Counter(session.exec(select(Job.custom_id)))
        spent = sum(session.exec(select(Batch.spent_nanos)).all())
    wanted = Counter([*(row["id"] for row in ROWS), *delivered])
    assert jobs == wanted + Counter({"bad": is_mended}), "a row was handed on twice, or not at all"
    assert spent == COST_NANOS * len([*keys, *delivered])
    lines = (stage.folder / "out.ndjson").read_bytes().splitlines()
    assert [json.loads(line)["key"] for line in lines] == delivered
    engine = create_engine(f"sqlite:///{stage.folder / 'sink.db'}")
    with engine.connect() as connection:
        assert [
            *connection.execute(text("SELECT key FROM articles ORDER BY key")).scalars()
        ] == sorted(delivered)
    engine.dispose()
    assert sorted(receiver.keys()) == sorted(delivered)


def the_budget_holds(database: Database) -> None:
    """Assert that what a run's batches may spend together is its budget at most."""
    with database.read() as session:
        for run in session.exec(select(Run)):
            mine = session.exec(
                select(Batch)
                .join(RunBatch, col(RunBatch.batch_id) == col(Batch.id))
                .where(RunBatch.run_id == run.id)
            ).all()
            assert sum(batch.max_cost_nanos or 0 for batch in mine) <= BUDGET_NANOS
            assert sum(b.spent_nanos + b.reserved_nanos for b in mine) <= BUDGET_NANOS


# The lives


def due(stage: Stage) -> None:
    """Leave a pipeline whose schedule is known, and was due; the webhook's address is there already."""
    folder = stage.folder
    (folder / "pipelines").mkdir()
    (folder / "in.ndjson").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "database").write_text(f"sqlite:///{folder / 'sink.db'}")
    toml = TOML.replace("DATABASE", f"{folder / 'database'}")
    toml = toml.replace("WEBHOOK", f"{folder / 'webhook'}")
    toml = toml.replace("HOUR", f"{utcnow() - AGO:%H}")
    (folder / "pipelines" / "articles.toml").write_text(toml)
    with stage.database() as database:
        with database.write() as session:
            assert ensure_project(session, "default") == PROJECT_ID
        catalogue = Catalogue(CONFIGURATION)
        Starter(database, PipelineFolder(folder / "pipelines", catalogue)).begin_due()
        with database.write() as session:
            session.connection().execute(update(RunSchedule).values(since=now(session) - 2 * AGO))


def taken_up_again(stage: Stage) -> None:
    """Leave a run that has ended and is retried, now that what failed is answered."""
    due(stage)
    do(stage, conduct)
    (stage.folder / "mended").touch()
    with stage.database() as database, database.write() as session:
        (ref,) = session.exec(select(Run.ref)).all()
        run_endings.retry(session, PROJECT_ID, ref)


SCHEDULED = Play(
    conduct,
    {
        "begin": 1,
        "move": 1,
        "take": 7,
        "write": 6,
        "finish_reading": 1,
        "release": 7,
        "settle": 3,
        "complete": 2,
        "deliver": 3,
        "row": 12,
        "note_written": 3,
    },
    prepare=due,
    own={
        "begin": [1],
        "move": [1],
        "take": [1, 5],
        "write": range(1, 7),
        "finish_reading": [1],
        "release": [1],
        "settle": [1, 3],
        "complete": [1, 2],
        "deliver": range(1, 4),
        "row": [2, 6, 11],
        "note_written": [1, 3],
    },
)
"""A run's from its due time to its end. After the sixth row there is no table yet, after the eleventh there
are half of the messages."""

RETRY = Play(
    conduct,
    {
        "take": 6,
        "write": 3,
        "settle": 3,
        "release": 6,
        "complete": 2,
        "deliver": 3,
        "row": 18,
        "note_written": 3,
    },
    prepare=taken_up_again,
    own={"write": [1], "settle": [3], "deliver": [3]},
)
"""The rest of one's that is retried."""

LIVES = {"scheduled": SCHEDULED, "retry": RETRY}

LOCKING = [
    Point(name, 1, Moment.BEFORE)
    for name in ("begin", "move", "take", "write", "settle", "complete")
]
"""Of a run's life: one for each kind of write."""
