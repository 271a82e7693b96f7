"""Sheets go in and results come out in every format: over HTTP and by the command, on one machine."""

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.environment import scrubbed
from tests.support.system import ROOT, Json, System, running_system

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytest_plugins = ("tests.support.simulator",)

ROWS = [
    {"sku": "p1", "text": 'A "mill", and\na pond', "max_tokens": "900", "note": "=1+1"},
    {"sku": "p2", "text": "Größe; 3,5 m", "max_tokens": "", "note": ""},
    {"sku": "p3", "text": "third", "max_tokens": "800", "note": "plain"},
]
TEMPLATE = "Say: {{ text }}"
QUERY = {"model": "sim-small", "template": TEMPLATE, "id_column": "sku"}


def as_csv(delimiter: str = ",", start: str = "") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return (start + text.getvalue()).encode()


def as_parquet() -> bytes:
    table = pa.table(
        {
            "sku": [row["sku"] for row in ROWS],
            "text": [row["text"] for row in ROWS],
            "max_tokens": pa.array([900, None, 800], pa.int32()),
            "note": [row["note"] or None for row in ROWS],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=2)
    return sink.getvalue()


def as_lines() -> bytes:
    return b"".join(
        json.dumps(
            {
                "custom_id": row["sku"],
                "variables": {name: row[name] for name in ("sku", "text", "note") if row[name]},
                **({"max_tokens": int(row["max_tokens"])} if row["max_tokens"] else {}),
            }
        ).encode()
        + b"\n"
        for row in ROWS
    )


def as_document() -> bytes:
    return b'{"jobs":[' + b",".join(as_lines().splitlines()) + b"]}"


BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "ndjson": ("application/x-ndjson", as_lines),
    "json": ("application/json", as_document),
    "csv": ("text/csv; charset=utf-8", as_csv),
    "semicolons": ("text/csv", lambda: as_csv(";", "\ufeff")),
    "tsv": ("text/tab-separated-values", lambda: as_csv("\t")),
    "parquet": ("application/vnd.apache.parquet", as_parquet),
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "gzip": gzip.compress,
    "zstd": zstd.compress,
}
SUFFIXES = {"semicolons": "csv", "ndjson": "jsonl"}


@pytest.fixture(scope="module")
def system(shared_simulator: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("formats")
    with running_system(folder, shared_simulator.url) as system:
        allowed = (folder / "sources").as_uri() + "/"
        with system.config.open("a", encoding="utf-8") as file:
            file.write(f'\n[sources]\nallowed = ["{allowed}"]\n')
        system.start_up()
        yield system


def tidemill(
    system: System, *arguments: str, given: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "scripts.command", *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=scrubbed(os.environ) | system.client_environment(),
        input=given,
        timeout=90,
    )


def sent(system: System, name: str, encoding: str = "", **query: str) -> Json:
    content_type, body = BODIES[name]
    headers = {"content-type": content_type}
    if encoding:
        headers["content-encoding"] = encoding
    reply = system.http.post(
        "/api/batches",
        params={**QUERY, **query},
        content=PACKERS[encoding](body()),
        headers=headers,
    )
    assert reply.status_code == (200 if query.get("dry_run") else 202), reply.text
    batch: Json = reply.json()
    return batch


@pytest.fixture(scope="module")
def ended(system: System) -> dict[str, str]:
    """A batch of each format, with all of its results."""
    batches = {name: sent(system, name)["id"] for name in BODIES}
    for batch_id in batches.values():
        assert system.wait(batch_id)["counts"]["succeeded"] == len(ROWS)
    return batches


@pytest.mark.parametrize("name", BODIES)
def test_the_same_rows_become_the_same_jobs_in_every_format(
    system: System, ended: dict[str, str], name: str
) -> None:
    expected = system.results(ended["ndjson"], order="input", join="input")
    found = system.results(ended[name], order="input", join="input")
    assert [row["custom_id"] for row in found] == ["p1", "p2", "p3"]
    assert [row["output"] for row in found] == [row["output"] for row in expected]
    if name not in {"ndjson", "json"}:
        assert [row["input"]["text"] for row in found] == [row["text"] for row in ROWS]
        assert found[1]["input"]["max_tokens"] is None


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("name", BODIES)
def test_a_quote_reads_every_format_however_it_is_packed(
    system: System, name: str, encoding: str
) -> None:
    quote = sent(system, name, encoding, dry_run="true")
    assert (quote["jobs"], quote["fault_count"]) == (len(ROWS), 0)


def test_results_as_csv_are_no_formulas_and_have_the_columns_of_the_sheet(
    system: System, ended: dict[str, str]
) -> None:
    reply = system.http.get(
        f"/api/batches/{ended['csv']}/results",
        params={"order": "input", "join": "input", "bom": "true"},
        headers={"accept": "text/csv"},
    )
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(reply.content.decode("utf-8-sig"), newline="")))
    assert [row["text"] for row in rows] == [row["text"] for row in ROWS]
    assert [row["note"] for row in rows] == ["'=1+1", "", "plain"]
    plain = system.results(ended["csv"], order="input")
    assert [row["output"] for row in rows] == [row["output"] for row in plain]
    assert [row["cost_usd"] for row in rows] == [row["cost_usd"] for row in plain]
    assert [int(row["output_tokens"]) for row in rows] == [
        row["usage"]["output_tokens"] for row in plain
    ]


def test_results_as_parquet_have_typed_columns_and_those_of_the_sheet(
    system: System, ended: dict[str, str]
) -> None:
    reply = system.http.get(
        f"/api/batches/{ended['parquet']}/results",
        params={"order": "input", "join": "input", "format": "parquet"},
    )
    table = pq.read_table(io.BytesIO(reply.content))
    types = {field.name: field.type for field in table.schema}
    assert types["cost_usd"] == pa.decimal128(28, 9)
    assert types["finished_at"] == pa.timestamp("us", "UTC")
    assert types["max_tokens"] == types["output_tokens"] == pa.int64()
    assert table["max_tokens"].to_pylist() == [900, None, 800]
    plain = system.results(ended["parquet"], order="input")
    assert table["output"].to_pylist() == [row["output"] for row in plain]
    assert table["cost_usd"].to_pylist() == [Decimal(row["cost_usd"]) for row in plain]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_results_leave_packed_for_who_can_unpack_them(
    system: System, ended: dict[str, str], encoding: str
) -> None:
    path = f"/api/batches/{ended['csv']}/results?order=input"
    plain = system.http.get(path, headers={"accept-encoding": "identity"}).content
    with system.http.stream("GET", path, headers={"accept-encoding": f"br, {encoding}"}) as reply:
        assert reply.headers["content-encoding"] == encoding
        raw = b"".join(reply.iter_raw())
    unpack = gzip.decompress if encoding == "gzip" else zstd.decompress
    assert unpack(raw) == plain


def test_what_is_wrong_with_a_sheet_is_told_by_row_and_column(system: System) -> None:
    body = b"sku,Text,max_tokens\np1,a,5\np2,,x\np3,c\np1,d,5\n"
    reply = system.http.post(
        "/api/batches",
        params={**QUERY, "template": "{{ Text }}"},
        content=body,
        headers={"content-type": "text/csv"},
    )
    assert reply.status_code == 400, reply.text
    faults = {(f["line"], f["field"], f["code"]) for f in reply.json()["errors"]}
    assert faults == {
        (3, "max_tokens", "wrong_type"),
        (4, "", "ragged_row"),
        (5, "sku", "duplicate_custom_id"),
    }
    reply = system.http.post(
        "/api/batches",
        params={**QUERY, "template": "{{ Text }}"},
        content=body.replace(b"x\np3,c\np1", b"5\np3,c,5\np4"),
        headers={"content-type": "text/csv"},
    )
    assert [(f["line"], f["field"], f["code"]) for f in reply.json()["errors"]] == [
        (3, "Text", "missing_variable")
    ]


@settings(max_examples=60, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_whatever_bytes_arrive_are_read_or_refused(system: System, data: st.DataObject) -> None:
    content_type, whole = BODIES[data.draw(st.sampled_from([*BODIES]))]
    body = bytearray(whole())
    if data.draw(st.booleans()):
        body = bytearray(data.draw(st.binary(max_size=300)))
    for _ in range(data.draw(st.integers(0, 4)) if body else 0):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    reply = system.http.post(
        "/api/batches",
        params={**QUERY, "dry_run": "true"},
        content=bytes(body),
        headers={
            "content-type": content_type,
            "content-encoding": data.draw(st.sampled_from(["identity", "gzip", "zstd"])),
        },
    )
    assert reply.status_code in {200, 400, 413, 415}, reply.text


@pytest.mark.parametrize(
    ("name", "encoding"),
    [*zip(BODIES, ["", "gzip", "zstd", "gzip", "", "zstd"], strict=True)],
)
def test_the_command_sends_a_file_of_every_format(
    system: System, tmp_path: Path, name: str, encoding: str
) -> None:
    suffix = {"": "", "gzip": ".gz", "zstd": ".zst"}[encoding]
    file = tmp_path / f"jobs.{SUFFIXES.get(name, name)}{suffix}"
    file.write_bytes(PACKERS[encoding](BODIES[name][1]()))
    options = ("--model", "sim-small", "--template", TEMPLATE, "--id-column", "sku")
    done = tidemill(system, "submit", str(file), *options, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["jobs"] == len(ROWS)


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_a_sample_of_a_sheet_is_made_of_its_rows(system: System, tmp_path: Path, name: str) -> None:
    file = tmp_path / f"jobs.{name}"
    file.write_bytes(BODIES[name][1]())
    options = ("--model", "sim-small", "--template", TEMPLATE, "--id-column", "sku")
    done = tidemill(system, "submit", str(file), *options, "--sample", "2", "--json")
    assert done.returncode == 0, done.stderr
    sampled = json.loads(done.stdout)["sample"]["jobs"]
    assert [job["job"]["custom_id"] for job in sampled] == ["p1", "p3"]


def test_several_files_are_one_batch_and_results_are_saved_as_their_name_says(
    system: System, tmp_path: Path
) -> None:
    (tmp_path / "one.csv").write_bytes(b"prompt\nfirst\nsecond\n")
    (tmp_path / "two.csv").write_bytes(b"prompt\nthird\n")
    saved = tmp_path / "results.parquet"
    done = tidemill(
        system, "submit", str(tmp_path / "*.csv"), "--model", "sim-small", "-o", str(saved)
    )
    assert done.returncode == 0, done.stderr
    table = pq.read_table(saved)
    assert table["custom_id"].to_pylist() == ["one.csv:1", "one.csv:2", "two.csv:1"]

    (tmp_path / "two.csv").write_bytes(b"prompt,max_tokens\nthird,5\nfourth,many\n")
    refused = tidemill(system, "submit", str(tmp_path / "*.csv"), "--model", "sim-small", "--json")
    assert refused.returncode == 2
    (fault,) = json.loads(refused.stderr)["error"]["faults"]
    assert (fault["line"], fault["field"]) == (3, "max_tokens")
    assert "two.csv" in fault["message"]


def test_standard_input_is_of_the_format_that_is_named(system: System, tmp_path: Path) -> None:
    saved = tmp_path / "results.csv"
    options = ("--model", "sim-small", "--template", TEMPLATE, "--id-column", "sku")
    done = tidemill(
        system,
        *("submit", "-", "--format", "parquet", *options, "--watch", "--json"),
        given=as_parquet(),
    )
    assert done.returncode == 0, done.stderr
    batch = json.loads(done.stdout)
    done = tidemill(system, "results", batch["id"], "--join", "-o", str(saved))
    assert done.returncode == 0, done.stderr
    with saved.open(newline="", encoding="utf-8") as file:
        assert [row["sku"] for row in csv.DictReader(file)] == ["p1", "p2", "p3"]
    shown = tidemill(system, "results", batch["id"], "--format", "csv")
    assert shown.stdout.startswith(b"custom_id,seq,status,output")


def test_a_file_that_the_server_reads_is_one_that_its_operator_allows(system: System) -> None:
    folder = system.folder / "sources"
    folder.mkdir()
    (folder / "jobs.csv.gz").write_bytes(gzip.compress(as_csv()))
    outside = system.folder / "outside.csv"
    outside.write_bytes(as_csv())
    (folder / "link.csv").symlink_to(outside)
    url = (folder / "jobs.csv.gz").as_uri()
    options = ("--model", "sim-small", "--template", TEMPLATE, "--id-column", "sku")

    done = tidemill(system, "submit", url, *options, "--watch", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["succeeded"] == len(ROWS)
    for refused in (
        outside.as_uri(),
        (folder / "link.csv").as_uri(),
        folder.as_uri() + "/../outside.csv",
        folder.as_uri() + "/%2e%2e/outside.csv",
        "http://127.0.0.1:9/jobs.csv",
        f"simplecache::{outside.as_uri()}",
    ):
        reply = system.http.post("/api/batches", params={**QUERY, "from_url": refused})
        assert (reply.status_code, reply.json()["code"]) == (403, "source_not_allowed"), refused
    reply = system.http.post(
        "/api/batches", params={**QUERY, "from_url": folder.as_uri() + "/none.csv"}
    )
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


def test_the_examples_of_the_page_about_formats_do_what_it_says(
    system: System, tmp_path: Path
) -> None:
    text = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"```csv ([\w.-]+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    (script,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "tidemill"
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m scripts.command "$@"\n'
    )
    command.chmod(0o755)
    environment = scrubbed(os.environ) | system.client_environment()
    done = subprocess.run(  # noqa: S603 - the page's own words
        ["/bin/sh", "-euc", script.replace("gpt-4o-mini", "sim-small")],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={
            **environment,
            "PATH": f"{folder}:{environment['PATH']}",
            "KEY": system.key,
            "URL": system.url,
        },
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = pq.read_table(tmp_path / "answers.parquet")
    assert table["sku"].to_pylist() == ["mill-1", "mill-2"]
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8-sig") as file:
        assert [row["custom_id"] for row in csv.DictReader(file)] == ["mill-1", "mill-2"]
