"""Where rows go to: files that are there wholly or not at all, and messages with names."""

import csv
import json
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import standardwebhooks

from jobs.errors import UnwritableSink
from jobs.pipelines.ends import SinkSection
from jobs.pipelines.rows import OutputRow, RunFacts, Written
from jobs.webhooks import new_secret
from workers.pipelines.sinks import Sinks, messages

RUN = RunFacts(
    run_id=1,
    ref="run_1",
    project_id=1,
    pipeline="nightly",
    day=date(2026, 11, 28),
    due_at=datetime(2026, 11, 27, 22, tzinfo=UTC),
)

ROWS = [
    OutputRow(
        "a", {"title": "=SUM(A1)", "year": 1851, "facts": {"ship": "Pequod", "crew": [1, 2]}}
    ),
    OutputRow("b/fr", {"title": None, "year": 2.5, "facts": {"ship": None, "is_old": True}}),
]


def write(base: Path, rows: Sequence[OutputRow] | None = None, **section: Any) -> Written:
    rows = ROWS if rows is None else rows
    return Sinks(base)(SinkSection(**section), RUN, iter(rows))


def test_lines_keep_rows_as_they_are(tmp_path: Path) -> None:
    written = write(tmp_path, ndjson="out/{date}/{run}.jsonl")
    path = tmp_path / "out" / "2026-11-28" / "run_1.jsonl"
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"key": row.key, **row.fields} for row in ROWS
    ]
    assert (written.rows, written.place) == (2, str(path))


def test_a_spreadsheet_takes_no_text_for_a_formula(tmp_path: Path) -> None:
    write(tmp_path, csv="out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {
                "key": "a",
                "title": "'=SUM(A1)",
                "year": "1851",
                "facts.ship": "Pequod",
                "facts.crew": "[1,2]",
                "facts.is_old": "",
            },
            {
                "key": "b/fr",
                "title": "",
                "year": "2.5",
                "facts.ship": "",
                "facts.crew": "",
                "facts.is_old": "true",
            },
        ]


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    write(tmp_path, parquet="out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "key": pa.string(),
        "title": pa.string(),
        "year": pa.float64(),
        "facts.ship": pa.string(),
        "facts.crew": pa.string(),
        "facts.is_old": pa.bool_(),
    }
    assert table.column("year").to_pylist() == [1851.0, 2.5]


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet"])
def test_a_file_that_is_written_twice_is_the_same(tmp_path: Path, kind: str) -> None:
    section: dict[str, Any] = {kind: "out"}
    write(tmp_path, **section)
    first = (tmp_path / "out").read_bytes()
    write(tmp_path, **section)
    assert (tmp_path / "out").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet"])
def test_rows_that_break_off_leave_the_file_as_it_was(tmp_path: Path, kind: str) -> None:
    (tmp_path / "out").write_text("of yesterday")

    def rows() -> Iterator[OutputRow]:
        yield ROWS[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Sinks(tmp_path)(SinkSection(**{kind: "out"}), RUN, rows())
    assert (tmp_path / "out").read_text() == "of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_dead_writer_left_is_cleared_away_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    left, written = tmp_path / ".out.1a2b3c4d.part", tmp_path / ".out.5e6f7a8b.part"
    for part in (left, written):
        part.write_text("rows")
    two_hours_ago = written.stat().st_mtime - 7200
    os.utime(left, (two_hours_ago, two_hours_ago))
    write(tmp_path, ndjson="out")
    assert {path.name for path in tmp_path.iterdir()} == {"out", written.name}


@pytest.mark.parametrize(
    ("rights", "files", "folders"), [(0o755, 0o644, 0o755), (0o750, 0o640, 0o750)]
)
def test_whoever_may_read_the_folder_may_read_what_is_delivered(
    tmp_path: Path, rights: int, files: int, folders: int
) -> None:
    tmp_path.chmod(rights)
    before = os.umask(0o077)  # as our processes have it
    try:
        written = Path(write(tmp_path, ndjson="out/{date}/rows.jsonl").place)
    finally:
        os.umask(before)
    assert stat.S_IMODE(written.stat().st_mode) == files
    for folder in (written.parent, written.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == folders


def test_an_empty_run_writes_an_empty_table(tmp_path: Path) -> None:
    write(tmp_path, [], parquet="out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_objects_of_storage_are_written(tmp_path: Path) -> None:
    write(tmp_path, ndjson="memory://sinks/{date}/out.jsonl")
    with fsspec.open("memory://sinks/2026-11-28/out.jsonl", "rb") as file:
        assert file.read().count(b"\n") == 2


def test_a_folder_that_takes_no_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UnwritableSink, match=r"out/rows\.csv can't be written"):
        write(tmp_path, csv="out/rows.csv")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    """What a webhook gets; its answers are those that it gets as `answers`."""
    got: list[httpx.Request] = []
    client = httpx.Client

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request)
        return httpx.Response(500 if b'"boom"' in request.content else 200)

    monkeypatch.setattr(httpx, "Client", lambda **_: client(transport=httpx.MockTransport(answer)))
    monkeypatch.setenv("HOOK_URL", "https://hooks.example/secret-path")
    monkeypatch.setenv("HOOK_SECRET", new_secret())
    return got


def test_a_webhook_gets_rows_and_their_sum_signed(
    tmp_path: Path, receiver: list[httpx.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "ROWS_AT_ONCE", 1)
    secret = new_secret()
    monkeypatch.setenv("HOOK_SECRET", secret)
    write(tmp_path, webhook="env:HOOK_URL", secret="env:HOOK_SECRET")  # noqa: S106
    written = write(tmp_path, webhook="env:HOOK_URL", secret="env:HOOK_SECRET")  # noqa: S106
    assert (written.rows, written.place) == (2, "webhook at hooks.example")
    verifier = standardwebhooks.Webhook(secret)
    told = [verifier.verify(request.content, dict(request.headers)) for request in receiver]
    assert [each["type"] for each in told[:3]] == ["run.rows", "run.rows", "run.delivered"]
    assert [row["key"] for each in told[:2] for row in each["rows"]] == ["a", "b/fr"]
    assert (told[2]["rows"], told[2]["parts"]) == (2, 2)
    names = [request.headers["webhook-id"] for request in receiver]
    assert names[:3] == names[3:]
    assert len(set(names)) == 3


def test_a_message_that_is_refused_is_told_without_the_secret_address(
    tmp_path: Path, receiver: list[httpx.Request]
) -> None:
    with pytest.raises(UnwritableSink) as caught:
        write(tmp_path, [OutputRow("boom", {})], webhook="env:HOOK_URL")
    assert caught.value.message == "hooks.example answers 500"
    assert len(receiver) == 1
