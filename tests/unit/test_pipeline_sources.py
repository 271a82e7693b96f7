"""Where rows come from: files in every format, a query that may only read, pages of an endpoint."""

import gzip
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import UnreadableSource
from jobs.pipelines.ends import SourceSection
from jobs.pipelines.rows import RunFacts, SourceRow
from workers.pipelines.sources import Sources
from workers.pipelines.sources.pages import page_rows

RUN = RunFacts(
    run_id=1,
    ref="run_1",
    project_id=1,
    pipeline="nightly",
    day=date(2026, 11, 28),
    due_at=datetime(2026, 11, 27, 22, tzinfo=UTC),
)

Read = Callable[..., list[SourceRow]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(**section: Any) -> list[SourceRow]:
        unused: Any = None
        return list(Sources(unused, tmp_path)(SourceSection(**section), RUN))

    return read


def test_files_of_the_day_are_read_in_order_of_names(read: Read, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "2026-11-28"
    folder.mkdir(parents=True)
    (folder / "b.jsonl").write_text('{"id": "b", "text": "ü"}\n\n{"id": 3}\n')
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(b'{"id": "a"}\n'))
    (folder / "c.txt").write_text("no rows")
    found = read(files="in/{date}/*.jsonl*")
    assert [row.key for row in found] == ["a", "b", "3"]
    assert found[1].fields == {"id": "b", "text": "ü"}


def test_a_row_without_a_key_has_its_place_as_one(read: Read, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "x"}, {"text": "y"}]')
    assert [row.key for row in read(files="a.json")] == ["a.json:1", "a.json:2"]


def test_a_sheet_keeps_its_columns(read: Read, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name;text\nx;=1+1\ny;\n")
    found = read(files="a.csv", key="name")
    assert [(row.key, dict(row.fields)) for row in found] == [
        ("x", {"name": "x", "text": "=1+1"}),
        ("y", {"name": "y", "text": None}),
    ]


def test_parquet_keeps_its_types(read: Read, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [7], "price": [1.5], "tags": [["a"]]}), tmp_path / "a.parquet")
    assert read(files="*.parquet") == [
        SourceRow("7", {"id": 7, "price": 1.5, "tags": ["a"]}),
    ]


def test_objects_of_storage_are_read(read: Read) -> None:
    with fsspec.open("memory://sources/2026-11-28/a.ndjson", "wb") as file:
        file.write(b'{"id": "a"}\n')
    assert read(files="memory://sources/{date}/*.ndjson") == [SourceRow("a", {"id": "a"})]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.jsonl", '{"id": 1}\n{"id": 2', "line 2: "),
        ("a.jsonl", "[1]", "line 1: expected an object, got a list"),
        ("a.json", '{"rows": []}', "expected a list of rows, got an object"),
        ("a.csv", "a,b\n1\n", "row 2 has 1 cells, and the header has 2"),
        ("a.jsonl", '{"id": null}', "row a.jsonl:1: its key `id` is 'None'"),
        ("a.parquet", "PAR1", "can't be read as Parquet"),
        ("a.rows", "", "its name doesn't tell its format"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(
    read: Read, tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UnreadableSource) as caught:
        read(files=name)
    assert says in caught.value.message
    assert name in caught.value.message


def test_a_pattern_that_finds_nothing_is_told(read: Read) -> None:
    with pytest.raises(UnreadableSource, match=r"there is no .*in/2026-11-28/\*\.jsonl"):
        read(files="in/{date}/*.jsonl")


def test_a_limit_is_kept(read: Read, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": 2}\nno JSON')
    assert len(read(files="a.jsonl", limit=2)) == 2


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE article (id INTEGER, text TEXT, day TEXT)")
        connection.executemany(
            "INSERT INTO article VALUES (?, ?, ?)",
            [(1, "x", "2026-11-28"), (2, "y", "2026-11-27"), (3, None, "2026-11-28")],
        )
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{path}")
    return path


@pytest.mark.usefixtures("shop")
def test_a_query_is_asked_for_the_run_s_day(read: Read) -> None:
    found = read(
        sql="SELECT id, text FROM article WHERE day = :date ORDER BY id", database="env:SHOP_URL"
    )
    assert found == [
        SourceRow("1", {"id": 1, "text": "x"}),
        SourceRow("3", {"id": 3, "text": None}),
    ]


@pytest.mark.parametrize("sql", ["DELETE FROM article", "SELECT * FROM nowhere"])
def test_a_query_may_only_read(read: Read, shop: Path, sql: str) -> None:
    with pytest.raises(UnreadableSource, match="the query failed"):
        read(sql=sql, database="env:SHOP_URL")
    with closing(sqlite3.connect(shop)) as connection:
        assert connection.execute("SELECT count(*) FROM article").fetchone() == (3,)


Pages = dict[str, tuple[int, dict[str, str], str]]


@pytest.fixture
def endpoint() -> Iterator[tuple[str, Pages, list[str]]]:
    """An address, what it answers by path, and what it was asked, with the authorization."""
    pages: Pages = {}
    asked: list[str] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('authorization', '')}".strip())
            status, headers, body = pages[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", pages, asked
        server.shutdown()


def test_pages_are_followed_with_the_operator_s_key(
    read: Read,
    endpoint: tuple[str, Pages, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, pages, asked = endpoint
    monkeypatch.setenv("SHOP_TOKEN", "Bearer x")
    first = {"data": {"items": [{"id": 1}]}, "links": {"next": "?page=2"}}
    pages["/a/2026-11-28"] = (200, {}, json.dumps(first))
    pages["/a/2026-11-28?page=2"] = (200, {}, json.dumps({"data": {"items": [{"id": 2}]}}))
    found = read(
        http=f"{address}/a/{{date}}",
        rows="data.items",
        next="links.next",
        authorization="env:SHOP_TOKEN",
    )
    assert [row.key for row in found] == ["1", "2"]
    assert asked == ["/a/2026-11-28 Bearer x", "/a/2026-11-28?page=2 Bearer x"]


def test_lines_and_a_link_header_are_understood(endpoint: tuple[str, Pages, list[str]]) -> None:
    address, pages, _asked = endpoint
    kind = {"content-type": "application/x-ndjson"}
    pages["/a"] = (200, {**kind, "link": '</b>; rel="next"'}, '{"id": 1}\n')
    pages["/b"] = (200, kind, '{"id": 2}\n')
    assert list(page_rows(SourceSection(http=f"{address}/a"), RUN)) == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((404, {}, ""), "answers 404"),
        ((302, {"location": "http://127.0.0.2/"}, ""), "answers 302"),
        ((200, {}, "<html>"), "answers no JSON"),
        ((200, {"link": '<http://127.0.0.2/b>; rel="next"'}, "[]"), "leads to another server"),
        ((200, {"link": '</a>; rel="next"'}, "[]"), "was read already"),
    ],
)
def test_an_endpoint_that_is_not_good_is_told(
    read: Read,
    endpoint: tuple[str, Pages, list[str]],
    answer: tuple[int, dict[str, str], str],
    says: str,
) -> None:
    address, pages, asked = endpoint
    pages["/a"] = answer
    with pytest.raises(UnreadableSource, match=says):
        read(http=f"{address}/a")
    assert len(asked) == 1
