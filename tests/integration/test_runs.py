"""Runs of pipelines on both databases: rows flow from stage to stage, exactly once, whoever dies or fails."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import col

from api.pipelines.telling import run_shape
from jobs.clock import utcnow
from jobs.errors import IllegalTransition, LeaseLost
from jobs.pipelines.ends import SinkSection, SourceSection
from jobs.pipelines.rows import OutputRow, RunFacts, SourceRow, Written
from jobs.states import BatchState, PauseCause, RunKind, RunState, SinkState
from jobs.store import Database, now
from jobs.store.money import receipts
from jobs.store.runs import handover, run_claims, run_diffs, run_endings, runs
from jobs.store.runs.handover import Step
from jobs.store.runs.run_totals import Failures, failures_in
from jobs.store.runs.runs import RunWish, begin
from jobs.tables import Run, RunClaim
from tests.support.eventually import eventually
from tests.support.nights import answer_all, night
from tests.support.rows import set_batch
from workers.pipelines import keeping

TOML = """\
name = "articles"
model = "sim-small"
[source]
files = "in.jsonl"
[[stages]]
name = "summary"
kind = "generation"
template = "Summarise: {{ row.text }}"
[[stages]]
name = "translations"
kind = "translation"
text = "{{ summary }}"
for_each = { target = ["fr", "de"] }
where = "{{ summary | length > 4 }}"
[[stages]]
name = "facts"
kind = "extraction"
after = "summary"
text = "{{ row.text }}"
schema = { type = "object" }
[[stages]]
name = "page"
kind = "generation"
after = ["translations", "facts"]
template = "{{ translations.fr }} {{ translations.de }} {{ facts.n }}"
[[sinks]]
ndjson = "out.jsonl"
"""


def _answer(line: dict[str, Any]) -> Any:
    name, text = line["custom_id"], str(line)
    if "bad-answer" in text:
        raise ValueError("bad_answer")
    if "variables" in line:
        return f"made of {line['variables'].get('row', {}).get('text', 'parts')}"
    if "target" in line:
        return f"{line['target']}: {line['text']}"
    return {"n": len(name)}


def _rows(count: int = 7) -> list[dict[str, Any]]:
    return [{"id": f"a{number}", "text": f"text {number}"} for number in range(count)]


def test_rows_flow_through_all_stages_and_are_delivered(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, _rows())
    run = tonight.begin()
    tonight.go_on(_answer)
    run = tonight.run(run.ref)
    assert (run.state, run.rows) == (RunState.COMPLETED, 7)
    assert tonight.stage_counts(run) == [(0, 0, 7, 0, 0), (0, 0, 14, 0, 0)] + [(0, 0, 7, 0, 0)] * 2
    assert all(batch.state == BatchState.COMPLETED for batch in tonight.batches(run))
    rows = tonight.delivered["out.jsonl"]
    assert [row.key for row in rows] == [f"a{number}" for number in range(7)]
    assert rows[3].fields == {
        "key": "a3",
        "id": "a3",
        "text": "text 3",
        "summary": "made of text 3",
        "translations": {"fr": "fr: made of text 3", "de": "de: made of text 3"},
        "facts": {"n": 2},
        "page": "made of parts",
    }


def test_a_stage_begins_while_the_one_before_goes_on(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, _rows(3))
    run = tonight.begin()
    tonight.conductor.look()
    answer_all(database, _answer)
    tonight.rows = []
    tonight.conductor.look()
    assert tonight.lines(run)["translations"] == sorted(
        f"a{number}/{target}" for number in range(3) for target in ("de", "fr")
    )
    # Nothing more comes from the source, so the first stages end; the last one's inputs are not there.
    assert tonight.batches(run)[0].is_open is False


def test_a_row_that_fails_or_is_left_out_ends_alone(database: Database, tmp_path: Path) -> None:
    rows = [*_rows(2), {"id": "bad", "text": "bad-answer"}, {"id": "none"}]
    toml = TOML.replace("summary | length > 4", "row.text != 'text 1'")
    tonight = night(database, tmp_path, toml, rows)
    run = tonight.begin()
    tonight.go_on(_answer)
    assert tonight.run(run.ref).state == RunState.COMPLETED
    assert tonight.stage_counts(run) == [
        (0, 0, 2, 2, 0),
        (0, 0, 2, 0, 2),
        (0, 0, 2, 0, 0),
        (0, 0, 1, 0, 0),
    ]
    (unaskable,) = [item for item in tonight.items(run) if item.error]
    assert "text" in str(unaskable.error)
    assert [row.key for row in tonight.delivered["out.jsonl"]] == ["a0"]


def test_a_failure_may_fail_the_run(database: Database, tmp_path: Path) -> None:
    toml = TOML.replace('name = "summary"', 'name = "summary"\non_failure = "fail"')
    tonight = night(database, tmp_path, toml, [*_rows(2), {"id": "bad", "text": "bad-answer"}])
    run = tonight.begin()
    tonight.go_on(_answer)
    run = tonight.run(run.ref)
    assert (run.state, run.trouble) == (RunState.FAILED, "rows have failed in stage summary")
    assert tonight.delivered == {}
    assert not any(batch.is_open for batch in tonight.batches(run))


@pytest.mark.parametrize(
    ("bad", "sink_of", "is_nothing"),
    [
        ("Summarise", None, True),
        ("summary", None, False),
        ("page", None, True),
        ("page", "facts", False),
    ],
)
def test_a_run_that_came_to_nothing_is_told_from_one_with_failures(
    database: Database, tmp_path: Path, bad: str, sink_of: str | None, is_nothing: bool
) -> None:
    def answer(line: dict[str, Any]) -> Any:
        is_page = "variables" in line and "translations" in line["variables"]
        if (bad == "page" and is_page) or (
            bad == "Summarise" and "row" in line.get("variables", {})
        ):
            raise ValueError("bad_answer")
        if bad == "summary" and line["custom_id"] == "a0":
            raise ValueError("bad_answer")
        return _answer(line)

    toml = TOML if sink_of is None else f'{TOML}of = "{sink_of}"\n'
    tonight = night(database, tmp_path, toml, _rows(2))
    ref = tonight.begin().ref
    tonight.go_on(answer)
    run = tonight.run(ref)
    with database.read() as session:
        found = failures_in(session, [run]).get(run.id or 0, Failures())
    assert run.state == RunState.COMPLETED
    assert found.count
    assert found.nothing_left == is_nothing


def test_the_receipt_of_a_late_run_says_what_the_run_says(
    database: Database, tmp_path: Path
) -> None:
    tonight = night(database, tmp_path, TOML, _rows(1))
    run = tonight.begin()
    tonight.conductor.look()
    late = utcnow() - timedelta(hours=1)
    with database.write() as session:
        session.connection().execute(update(Run).where(col(Run.id) == run.id).values(deadline=late))
    with database.read() as session:
        run = runs.find(session, run.project_id, run.ref)
        assert run.finished_at is None
        assert run_shape(run, {}, utcnow()).kept_deadline is False
        found = receipts.of_run(session, run)
    assert (found.deadlines.missed, found.deadlines.open, found.is_final) == (1, 0, False)
    assert found.deadlines.worst_late_s >= 3600


def test_what_failed_is_asked_again_in_place(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, [*_rows(2), {"id": "bad", "text": "bad-answer"}])
    run = tonight.begin()
    tonight.go_on(_answer)
    assert [row.key for row in tonight.delivered["out.jsonl"]] == ["a0", "a1"]
    with database.write() as session:
        run_endings.retry(session, 1, run.ref)
    tonight.go_on(lambda line: {"n": 1} if line.get("text") == "bad-answer" else "good at last")
    run = tonight.run(run.ref)
    assert (run.state, run.round) == (RunState.COMPLETED, 1)
    assert [row.key for row in tonight.delivered["out.jsonl"]] == ["a0", "a1", "bad"]
    assert [name for name in tonight.lines(run)["summary"] if name == "bad"] == ["bad"] * 2


def test_two_conductors_hand_every_row_over_once(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, _rows())
    run = tonight.begin()
    other = tonight.another_conductor()
    for _ in range(10):
        tonight.conductor.look()
        other.look()
        answer_all(database, _answer)
    run = tonight.run(run.ref)
    assert run.state == RunState.COMPLETED
    assert (
        len(tonight.lines(run)["translations"])
        == len(set(tonight.lines(run)["translations"]))
        == 14
    )


class Died(BaseException):
    """The process was killed."""


@pytest.mark.parametrize("commits", [1, 3, 5, 9])
def test_a_conductor_that_dies_is_followed_by_another(
    database: Database, tmp_path: Path, commits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any of its commits, and with nothing released: every row is there once, and the run ends."""
    tonight = night(database, tmp_path, TOML, _rows(4))
    run = tonight.begin()
    left = [commits]
    mortal = database.with_patience(10)
    write = mortal.write

    def counted() -> Any:
        if left[0] <= 0:
            raise Died
        left[0] -= 1
        return write()

    monkeypatch.setattr(mortal, "write", counted)
    conductor = tonight.another_conductor(database=mortal)

    def looks() -> None:
        for _ in range(50):
            conductor.look()
            answer_all(database, _answer)

    with pytest.raises(Died):
        looks()
    tonight.forget_claims()
    tonight.go_on(_answer)
    assert tonight.run(run.ref).state == RunState.COMPLETED
    names = tonight.lines(run)
    assert (
        names["summary"] == names["facts"] == names["page"] == [f"a{number}" for number in range(4)]
    )
    assert len(names["translations"]) == len(set(names["translations"])) == 8
    assert len(tonight.delivered["out.jsonl"]) == 4


def test_what_was_worked_out_under_a_claim_that_is_lost_is_void(
    database: Database, tmp_path: Path
) -> None:
    tonight = night(database, tmp_path, TOML, _rows(4))
    run = tonight.begin()
    assert run.id is not None
    with database.write() as session:
        first = run_claims.take(session, run.id, "advance")
        assert run_claims.take(session, run.id, "advance") is None
    tonight.forget_claims()
    with database.write() as session:
        assert run_claims.take(session, run.id, "advance") == 2
    assert first == 1
    with pytest.raises(LeaseLost), database.write() as session:
        handover.write(session, run.id, tonight.pipeline, Step(("advance", 1)), 3)


def test_a_source_is_read_again_after_it_failed_and_doubles_are_left_out(
    database: Database, tmp_path: Path
) -> None:
    tonight = night(database, tmp_path, TOML, [*_rows(4), {"id": "a1", "text": "another"}])
    run = tonight.begin()

    def broken(source: SourceSection, run: RunFacts) -> Iterator[SourceRow]:
        del source, run
        yield SourceRow("a0", {"id": "a0", "text": "text 0"})
        raise OSError("the disk is gone")

    tonight.another_conductor(read=broken).look()
    assert "the disk is gone" in str(tonight.run(run.ref).trouble)
    tonight.forget_waits()
    tonight.go_on(_answer)
    run = tonight.run(run.ref)
    assert (run.state, run.rows, run.double_rows, run.trouble) == (RunState.COMPLETED, 4, 1, None)


def test_a_row_without_a_name_fails_its_run_at_once(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, [*_rows(2), {"id": "", "text": "nameless"}])
    run = tonight.begin()
    tonight.go_on(_answer)
    run = tonight.run(run.ref)
    assert run.state == RunState.FAILED
    assert "a row's key is ''" in str(run.trouble)


def test_a_slow_source_stays_with_whoever_reads_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two conductors would take it from each other, and neither would come to its first row."""
    monkeypatch.setattr(keeping, "RENEWED_EVERY_S", 0.01)
    tonight = night(database, tmp_path, TOML, _rows(4))
    begun = tonight.begin()

    def is_held() -> bool:
        with database.read() as session:
            claim = session.get(RunClaim, (begun.id, run_claims.READ))
            return claim is not None and claim.until > now(session)

    def slow(source: SourceSection, run: RunFacts) -> Iterator[SourceRow]:
        del source, run
        tonight.forget_claims()  # as if it had taken longer than a claim is held
        eventually(is_held)
        yield SourceRow("a0", {"id": "a0", "text": "text 0"})

    tonight.another_conductor(read=slow).look()
    assert tonight.run(begun.ref).read_at is not None


def test_only_new_rows_are_taken_if_asked_for(database: Database, tmp_path: Path) -> None:
    toml = TOML.replace('files = "in.jsonl"', 'files = "in.jsonl"\nonly_new = true')
    tonight = night(database, tmp_path, toml, [*_rows(2), {"id": "bad", "text": "bad-answer"}])
    tonight.begin()
    tonight.go_on(_answer)
    tonight.rows = [
        *tonight.rows,
        SourceRow("new", {"id": "new", "text": "new"}),
        SourceRow("a1", {"id": "a1"}),
    ]
    tonight.rows[0] = SourceRow("a0", {"id": "a0", "text": "changed"})
    run = tonight.begin()
    tonight.go_on(_answer)
    run = tonight.run(run.ref)
    assert tonight.lines(run)["summary"] == ["a0", "bad", "new"]
    assert (run.rows, run.old_rows, run.double_rows) == (3, 1, 1)


def test_a_budget_is_shared_and_never_exceeded(database: Database, tmp_path: Path) -> None:
    toml = TOML.replace('model = "sim-small"', 'model = "sim-small"\nbudget_usd = "0.000001"')
    tonight = night(database, tmp_path, toml, _rows(6))
    run = tonight.begin()
    for _ in range(12):
        tonight.go_on(_answer, looks=1)
        caps = [batch.max_cost_nanos or 0 for batch in tonight.batches(run)]
        assert sum(caps) <= 1000
    assert tonight.run(run.ref).state == RunState.COMPLETED
    assert sum(batch.spent_nanos for batch in tonight.batches(run)) == 30 * 10


def test_a_budget_that_is_used_up_holds_the_run(database: Database, tmp_path: Path) -> None:
    toml = TOML.replace('model = "sim-small"', 'model = "sim-small"\nbudget_usd = "0.00000012"')
    tonight = night(database, tmp_path, toml, _rows(6))
    run = tonight.begin()
    tonight.go_on(_answer)
    assert tonight.run(run.ref).state == RunState.RUNNING
    batches = tonight.batches(run)
    assert sum(batch.spent_nanos + batch.reserved_nanos for batch in batches) <= 120
    assert sum(batch.spent_nanos for batch in batches) >= 20
    assert any(batch.needed_nanos for batch in batches)
    for batch in batches:
        set_batch(database, batch.ref, state=BatchState.PAUSED, pause_cause=PauseCause.BATCH_BUDGET)
    tonight.conductor.look()
    assert "no room for the next call" in str(tonight.run(run.ref).trouble)


def test_a_cancelled_run_ends_its_batches(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, _rows(4))
    run = tonight.begin()
    tonight.conductor.look()
    with database.write() as session:
        run_endings.cancel(session, 1, run.ref)
    tonight.go_on(_answer, looks=3)
    assert tonight.run(run.ref).state == RunState.CANCELLED
    assert {batch.state for batch in tonight.batches(run)} == {BatchState.CANCELLING}


def test_a_run_that_is_cancelled_while_it_is_begun_stays_so(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tonight = night(database, tmp_path, TOML, _rows(4))
    run = tonight.begin()
    waiting = runs.in_states

    def seen_then_cancelled(*about: Any) -> list[Run]:
        seen = waiting(*about)
        with database.write() as session:
            run_endings.cancel(session, 1, run.ref)
        return seen

    monkeypatch.setattr(runs, "in_states", seen_then_cancelled)
    tonight.conductor.begin_due()
    assert tonight.run(run.ref).state == RunState.CANCELLED


def test_what_a_run_has_made_otherwise_is_told(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, _rows(4))
    tonight.begin()
    tonight.go_on(_answer)
    tonight.rows = [*tonight.rows[1:], SourceRow("new", {"id": "new", "text": "new"})]
    tonight.rows[0] = SourceRow("a1", {"id": "a1", "text": "changed"})
    run = tonight.begin()
    tonight.go_on(_answer)
    with database.read() as session:
        before = run_diffs.run_before(session, run)
        assert before is not None
        found = run_diffs.diff(session, run, before, stage="translations", keys=3)
        assert run_diffs.diff(session, run, before, stage="none", keys=3) is None
        assert run_diffs.run_before(session, before) is None
    assert found is not None
    assert (found.same, found.new.count, found.gone.count, found.changed.count) == (4, 2, 2, 2)
    assert found.changed.keys == ("a1/de", "a1/fr")
    assert (found.new.keys, found.gone.keys) == (("new/de", "new/fr"), ("a0/de", "a0/fr"))


def test_a_backfill_goes_day_by_day_and_so_many_at_once(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, _rows(1))
    days = [date(2026, 11, day) for day in (1, 2, 3)]
    wishes = [
        tonight.begin(kind=RunKind.BACKFILL, day=day, slot=f"b {day}", group_ref="b", at_once=2)
        for day in days
    ]
    manual = tonight.begin()
    tonight.conductor.look()
    states = [tonight.run(run.ref).state for run in [*wishes, manual]]
    assert states == [RunState.RUNNING, RunState.RUNNING, RunState.WAITING, RunState.RUNNING]
    tonight.go_on(_answer, looks=16)
    assert {tonight.run(run.ref).state for run in wishes} == {RunState.COMPLETED}
    with database.write() as session:
        again = RunWish(1, RunKind.BACKFILL, utcnow(), slot="b 2026-11-01")
        assert begin(session, tonight.pipeline, again) is None


def test_a_run_that_cannot_be_read_keeps_no_other_from_its_turn(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tonight = night(database, tmp_path, TOML, _rows(1))
    unreadable = tonight.begin()
    with database.write() as session:
        session.connection().execute(
            update(Run)
            .where(col(Run.id) == unreadable.id)
            .values(pipeline="another", definition="{}")
        )
    run = tonight.begin()
    tonight.conductor.look()
    states = [tonight.run(each.ref).state for each in (unreadable, run)]
    assert states == [RunState.WAITING, RunState.RUNNING]
    assert f"beginning run {unreadable.ref} failed" in caplog.text


def test_a_cancelled_run_is_taken_up_where_it_was(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, _rows(4))
    run = tonight.begin()
    tonight.conductor.look()
    answer_all(database, _answer)
    tonight.conductor.look()
    with database.write() as session:
        run_endings.cancel(session, 1, run.ref)
    with pytest.raises(IllegalTransition, match="calls in flight"), database.write() as session:
        run_endings.retry(session, 1, run.ref)
    tonight.sweep_cancelled()
    with database.write() as session:
        run_endings.retry(session, 1, run.ref)
    tonight.go_on(_answer)
    assert tonight.run(run.ref).state == RunState.COMPLETED
    assert len(tonight.delivered["out.jsonl"]) == 4
    # What was answered before was not asked again.
    assert len(tonight.lines(run)["summary"]) == 4
    assert len(tonight.lines(run)["translations"]) == 16


def test_only_what_failed_from_a_stage_on_is_asked_again(
    database: Database, tmp_path: Path
) -> None:
    toml = TOML.replace(
        'schema = { type = "object" }', 'schema = { type = "object" }\ncheck = "output.n > 1"'
    )
    rows = [*_rows(1), {"id": "bad", "text": "bad-answer"}, {"id": "b", "text": "n is 1"}]
    tonight = night(database, tmp_path, toml, rows)
    run = tonight.begin()
    tonight.go_on(_answer)
    assert [counts[3] for counts in tonight.stage_counts(run)] == [1, 0, 1, 0]
    failed = [item.error for item in tonight.items(run) if item.error]
    assert failed == ["the answer does not meet `check`"]
    with database.write() as session:
        run_endings.retry(session, 1, run.ref, from_stage="facts")
    tonight.go_on(lambda line: {"n": 5} if "text" in line else "a page")
    assert tonight.run(run.ref).state == RunState.COMPLETED
    assert [counts[3] for counts in tonight.stage_counts(run)] == [1, 0, 0, 0]
    assert [row.key for row in tonight.delivered["out.jsonl"]] == ["a0", "b"]


def test_a_sink_that_fails_is_written_later(database: Database, tmp_path: Path) -> None:
    tonight = night(database, tmp_path, TOML, _rows(1))
    run = tonight.begin()

    def full(sink: SinkSection, run: RunFacts, rows: Iterator[OutputRow]) -> Written:
        del sink, run, rows
        raise OSError("the disk is full")

    tonight.conductor = tonight.another_conductor(write=full)
    tonight.go_on(_answer)
    assert tonight.run(run.ref).state == RunState.DELIVERING
    with database.read() as session:
        (sink,) = runs.sinks(session, run.id or 0)
    assert (sink.state, sink.tries, sink.trouble) == (
        SinkState.FAILED,
        1,
        "OSError: the disk is full",
    )
    tonight.conductor = tonight.another_conductor()
    tonight.forget_waits()
    tonight.go_on(_answer, looks=2)
    assert tonight.run(run.ref).state == RunState.COMPLETED
