"""Submissions that are not as they should be: told exactly what is wrong, and leaving nothing.

The API runs alone, without a worker and without a broker: taking work in needs neither.
"""

import bz2
import gzip
import io
import lzma
import socket
import struct
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlmodel import func, select

from jobs.errors import REPORTED_FAULTS
from jobs.lines import MAX_LINE_BYTES
from jobs.reading import CHUNK_JOBS
from jobs.states import BatchState
from jobs.tables import Attempt, Batch, Job, Result, Slice
from tests.support.eventually import eventually
from tests.support.lone_api import lone_api
from tests.support.system import Json, System, lines, ndjson, running_system

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_JOBS = 2 * CHUNK_JOBS + 100

MAX_BODY_BYTES = 64 << 20

RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER` with no time: closing sends a reset instead of an end."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The API alone, on each database."""
    with lone_api(
        request,
        tmp_path_factory.mktemp("edges"),
        TIDEMILL_MAX_JOBS_PER_BATCH=str(MAX_JOBS),
        TIDEMILL_MAX_UPLOAD_BYTES=str(MAX_BODY_BYTES),
    ) as system:
        yield system


def rows(system: System) -> dict[str, int]:
    """How many rows there are of each table that a submission could leave something in."""
    with system.database() as database, database.read() as session:
        return {
            table.__name__: session.exec(select(func.count()).select_from(table)).one()
            for table in (Batch, Slice, Job, Attempt, Result)
        }


def post(system: System, body: bytes, query: Json | None = None, **headers: str) -> httpx.Response:
    return system.http.post(
        "/api/batches",
        params=query,
        content=body,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def refused(
    system: System, status: int, body: bytes, query: Json | None = None, **headers: str
) -> Json:
    """Send it, assert that it was refused and has left nothing, and return the problem."""
    before = rows(system)
    reply = post(system, body, query, **headers)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert rows(system) == before
    problem: Json = reply.json()
    assert problem["status"] == status
    return problem


def accepted(system: System, body: bytes, query: Json | None = None, **headers: str) -> Json:
    """Send it, assert that it was accepted, and return the batch."""
    reply = post(system, body, query, **headers)
    assert reply.status_code == 202, reply.text
    batch: Json = reply.json()
    assert batch["state"] == "queued"
    return batch


def requests_of(system: System, batch: Json) -> list[Json]:
    """The lines of a batch as they are stored."""
    statement = select(Job.request).join(Batch, Batch.id == Job.batch_id)  # type: ignore[arg-type]  # a column's comparison
    with system.database() as database, database.read() as session:
        found = session.exec(statement.where(Batch.ref == batch["id"]).order_by(Job.seq))  # type: ignore[arg-type]  # ditto
        return [orjson.loads(request) for request in found]


# Bad lines

BAD_LINES: dict[bytes, tuple[str, str, str]] = {
    b"not json": ("invalid_json", "", "JSON"),
    b'["a1"]': ("wrong_format", "", "object"),
    b'{"custom_id":"a1","prompt":"x"}': ("missing_model", "model", "expected a model"),
    b'{"custom_id":"a1","model":"cheap"}': ("missing_prompt", "prompt", "expected"),
    b'{"model":"cheap","prompt":"x"}': ("missing_field", "custom_id", "it is not there"),
    b'{"custom_id":"","model":"cheap","prompt":"x"}': (
        "invalid_custom_id",
        "custom_id",
        "1 to 512 characters",
    ),
    b'{"custom_id":"a1","model":"chep","prompt":"x"}': (
        "unknown_model",
        "model",
        "did you mean cheap?",
    ),
    b'{"custom_id":"a1","model":"cheap","promt":"x"}': ("unknown_field", "promt", "prompt"),
    b'{"custom_id":"a1","model":"cheap","prompt":"x","max_tokens":"9"}': (
        "wrong_type",
        "max_tokens",
        "int",
    ),
    b'{"custom_id":"a1","model":"cheap","prompt":"x","stream":true}': (
        "unsupported_parameter",
        "stream",
        "results",
    ),
    b'{"custom_id":"a1","model":"cheap","messages":[{"role":"boss","content":"x"}]}': (
        "invalid_value",
        "messages[0].role",
        "assistant",
    ),
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_is_named_with_its_field_and_what_was_expected(
    system: System, line: bytes
) -> None:
    good = ndjson(lines(2))
    problem = refused(system, 400, good + b"\n" + line + b"\n" + ndjson(lines(1, prefix="after")))
    assert (problem["code"], problem["error_count"]) == ("invalid_jobs", 1)
    (fault,) = problem["errors"]
    code, field, expected = BAD_LINES[line]
    assert (fault["line"], fault["code"], fault["field"]) == (4, code, field)
    assert expected in fault["message"]
    assert "1 of 5 lines" in problem["detail"]


def test_a_hundred_bad_lines_are_described_and_all_are_counted(system: System) -> None:
    bad = b'{"custom_id":"bad","model":"cheap"}\n' * 250
    problem = refused(system, 400, ndjson(lines(10)) + bad)
    assert problem["error_count"] == 250
    assert [fault["line"] for fault in problem["errors"]] == list(range(11, 11 + REPORTED_FAULTS))


def test_a_bad_line_after_thousands_of_stored_ones_takes_them_all_back(system: System) -> None:
    many = ndjson(lines(CHUNK_JOBS + 500))
    problem = refused(system, 400, many + b"{}\n" + ndjson(lines(10, prefix="more")))
    assert [fault["line"] for fault in problem["errors"]] == [CHUNK_JOBS + 501]


@pytest.mark.parametrize("line_number", [2, 5_001, 2 * CHUNK_JOBS + 1])
def test_a_custom_id_that_stands_twice_is_named_however_far_apart(
    system: System, line_number: int
) -> None:
    jobs = list(lines(line_number))
    jobs[-1]["custom_id"] = jobs[0]["custom_id"]
    problem = refused(system, 400, ndjson(jobs))
    (fault,) = problem["errors"]
    assert (fault["line"], fault["code"]) == (line_number, "duplicate_custom_id")
    assert fault["field"] == "custom_id"
    assert "'job-000000' stands earlier" in fault["message"]


def test_the_same_custom_id_in_another_batch_is_no_duplicate(system: System) -> None:
    first, second = (accepted(system, ndjson(lines(3))) for _ in range(2))
    assert first["id"] != second["id"]


# Bodies


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\n  \n"])
def test_a_body_without_a_job_is_refused(system: System, body: bytes) -> None:
    assert refused(system, 400, body)["code"] == "empty_body"


@pytest.mark.parametrize("wrap", [lambda jobs: {"jobs": jobs}, list], ids=["object", "array"])
def test_a_json_body_is_the_same_submission(system: System, wrap: Any) -> None:
    jobs = list(lines(20))
    batch = accepted(system, orjson.dumps(wrap(jobs)), content_type="application/json")
    assert batch["counts"]["total"] == 20
    assert requests_of(system, batch) == jobs


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"jobs":[]}', "empty_body"),
        (b"[]", "empty_body"),
        (b"", "empty_body"),
        (b'{"jobs":[', "invalid_json"),
        (b"{", "invalid_json"),
        (b"[1] 2", "invalid_json"),
        (b'{"batch":[]}', "wrong_format"),
        (b'"jobs"', "wrong_format"),
        (b'{"custom_id":"a1","model":"cheap","prompt":"x"}', "wrong_format"),
        (b'{"custom_id":"a1"}\n{"custom_id":"a2"}\n', "wrong_format"),
        (b'[{"custom_id":"a1"}]', "invalid_jobs"),
        (b'{"jobs":' + b"[" * 200_000, "invalid_json"),
        (b"[" * 200_000, "invalid_json"),
        ('{"jobs":[]}'.encode("utf-16"), "invalid_encoding"),
    ],
)
def test_a_json_body_that_is_no_submission_is_refused(
    system: System, body: bytes, code: str
) -> None:
    problem = refused(system, 400, body, content_type="application/json")
    assert problem["code"] == code
    assert problem["detail"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'[{"custom_id":"a1"}]', "wrong_format"),
        (b' {"jobs": [{"custom_id":"a1"}]}', "wrong_format"),
        (b'\xef\xbb\xbf{\n  "jobs" : [', "wrong_format"),
        ('{"custom_id":"a1"}'.encode("utf-16"), "invalid_encoding"),
        ('{"custom_id":"a1"}'.encode("utf-16-le"), "invalid_encoding"),
        ('{"custom_id":"a1"}'.encode("utf-32"), "invalid_encoding"),
    ],
)
def test_a_body_that_is_no_lines_is_told_what_it_is(system: System, body: bytes, code: str) -> None:
    assert refused(system, 400, body, content_type="application/x-ndjson")["code"] == code


def test_json_that_is_cut_off_is_told_where(system: System) -> None:
    problem = refused(system, 400, b'{"jobs":[\n1,', content_type="application/json")
    assert (problem["code"], problem["line"], problem["column"]) == ("invalid_json", 2, 3)


def test_lines_may_end_as_on_windows_begin_with_a_mark_and_need_no_last_end(
    system: System,
) -> None:
    jobs = list(lines(3))
    body = b"\xef\xbb\xbf" + ndjson(jobs).replace(b"\n", b"\r\n").rstrip()
    assert requests_of(system, accepted(system, body)) == jobs


def test_the_most_jobs_that_a_batch_may_have_are_accepted_and_one_more_is_not(
    system: System,
) -> None:
    assert accepted(system, ndjson(lines(MAX_JOBS)))["counts"]["total"] == MAX_JOBS
    problem = refused(system, 413, ndjson(lines(MAX_JOBS + 1)))
    assert problem["code"] == "too_many_jobs"
    assert f"is job {MAX_JOBS + 1:,}" in problem["detail"]
    assert f"at most {MAX_JOBS:,}" in problem["detail"]


@pytest.mark.parametrize("line", [b"\n", b" \r\n", b"x\n"])
def test_lines_that_are_no_jobs_are_not_read_without_end(system: System, line: bytes) -> None:
    assert refused(system, 413, line * (2 * MAX_JOBS + 1))["code"] == "too_many_jobs"


def test_a_line_without_an_end_is_refused_before_memory_is(system: System) -> None:
    problem = refused(system, 413, ndjson(lines(3)) + b"x" * (MAX_LINE_BYTES + (2 << 20)))
    assert problem["code"] == "line_too_long"
    assert "line 4 is longer" in problem["detail"]


def test_a_file_in_a_prompt_is_refused(system: System) -> None:
    job = {**next(lines(1)), "prompt": "data:image/png;base64," + "A" * MAX_LINE_BYTES}
    problem = refused(system, 413, ndjson([*lines(3, prefix="b"), job]))
    assert problem["code"] == "line_too_long"
    assert "line 4 is longer" in problem["detail"]


def test_a_body_beyond_the_limit_is_refused_by_its_length_or_when_it_is_reached(
    system: System,
) -> None:
    line = ndjson([{**next(lines(1)), "prompt": "x" * (1 << 20)}])
    body = line * (MAX_BODY_BYTES // len(line) + 1)
    assert refused(system, 413, body)["code"] == "body_too_large"
    before = rows(system)
    reply = system.http.post("/api/batches", content=iter([body[:100], body[100:]]))
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert refused(system, 413, gzip.compress(body), content_encoding="gzip")["status"] == 413
    assert rows(system) == before


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("content_type", "image/png", "unsupported_media_type"),
        ("content_encoding", "compress", "unsupported_encoding"),
        ("content_encoding", "gzip, gzip", "unsupported_encoding"),
    ],
)
def test_a_body_that_nobody_can_read_is_refused(
    system: System, header: str, value: str, code: str
) -> None:
    problem = refused(system, 415, ndjson(lines(1)), None, **{header: value})
    assert problem["code"] == code
    assert value in problem["detail"]


def packed(name: str) -> bytes:
    plain = ndjson(lines(50))
    if name == "gzip":
        return gzip.compress(plain)
    if name == "zstd":
        return zstd.compress(plain)
    if name == "xz":
        return lzma.compress(plain)
    if name == "bzip2":
        return bz2.compress(plain)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("jobs.jsonl", plain)
    return archive.getvalue()


@pytest.mark.parametrize("name", ["gzip", "zstd", "xz", "bzip2", "zip"])
@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json"])
def test_a_packed_file_is_called_by_its_name(system: System, name: str, content_type: str) -> None:
    problem = refused(system, 415, packed(name), content_type=content_type)
    assert name in problem["detail"]
    assert ("Content-Encoding" if name in {"gzip", "zstd"} else "unpack it") in problem["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json"])
def test_a_packed_body_is_the_same_submission(
    system: System, encoding: str, content_type: str
) -> None:
    jobs = list(lines(5000))
    plain = orjson.dumps(jobs) if content_type == "application/json" else ndjson(jobs)
    body = {"gzip": gzip, "zstd": zstd}[encoding].compress(plain)
    batch = accepted(system, body, content_type=content_type, content_encoding=encoding)
    assert requests_of(system, batch) == jobs


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_that_is_not_packed_as_it_says_leaves_nothing(system: System, encoding: str) -> None:
    whole = {"gzip": gzip, "zstd": zstd}[encoding].compress(ndjson(lines(CHUNK_JOBS + 500)))
    for body in (ndjson(lines(3)), whole[:-20], whole[: len(whole) // 2], whole + b"{}"):
        problem = refused(system, 400, body, content_encoding=encoding)
        assert problem["code"] == f"invalid_{encoding}"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused(system: System, encoding: str) -> None:
    bomb = {"gzip": gzip, "zstd": zstd}[encoding].compress(b" " * (100 << 20))
    assert refused(system, 413, bomb, content_encoding=encoding)["code"] == "line_too_long"


# Connections


@contextmanager
def upload_under_way(system: System) -> Iterator[socket.socket]:
    """Send a part of an upload, and yield its connection once rows of it are stored."""
    before = rows(system)
    head = (
        f"POST /api/batches HTTP/1.1\r\nhost: tidemill\r\nx-api-key: {system.key}\r\n"
        "content-type: application/x-ndjson\r\ncontent-length: 50000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", system.port), timeout=20.0) as connection:
        # Three blocks as they are taken in; the chunk is full in the second.
        jobs = lines(CHUNK_JOBS + 3000, system="m" * 400)
        connection.sendall(head.encode() + ndjson(jobs))
        eventually(
            lambda: rows(system)["Job"] == before["Job"] + CHUNK_JOBS, 20.0, "a chunk is stored"
        )
        yield connection
    eventually(lambda: not unfinished_uploads(system), 20.0, "what was stored of it is deleted")


def unfinished_uploads(system: System) -> int:
    statement = select(func.count()).where(Batch.state == BatchState.RECEIVING)
    with system.database() as database, database.read() as session:
        return session.exec(statement).one()


@pytest.mark.parametrize("how", ["end", "reset"])
def test_an_upload_that_breaks_off_is_never_seen_and_leaves_nothing(
    system: System, how: str
) -> None:
    before = rows(system)
    listed = system.http.get("/api/batches", params={"limit": 1000}).json()["data"]
    with upload_under_way(system) as connection:
        seen = system.http.get("/api/batches", params={"limit": 1000}).json()["data"]
        assert seen == listed
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    assert rows(system) == before
    # A sender that goes away is no fault of ours.
    assert "Traceback" not in system.processes[0].log()


def test_an_upload_is_served_beside_others(system: System) -> None:
    with upload_under_way(system):
        assert accepted(system, ndjson(lines(10)))["counts"]["waiting"] == 10
        assert system.http.get("/readyz").status_code == 200


# Parameters and paths

BAD_QUERIES: list[tuple[Json, str]] = [
    ({"modle": "cheap"}, "modle"),
    ({"priority": "urgent"}, "priority"),
    ({"max_cost_usd": "-1"}, "max_cost_usd"),
    ({"max_cost_usd": "0.0000000001"}, "max_cost_usd"),
    ({"max_cost_usd": "lots"}, "max_cost_usd"),
    ({"max_cost_usd": "1_0"}, "max_cost_usd"),
    ({"name": "x" * 201}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "a\x85b"}, "name"),
    ({"name": "a\u202eb"}, "name"),
    ({"name": "a\u2028b"}, "name"),
    ({"kind": "poem"}, "kind"),
    ({"temperature": "hot"}, "temperature"),
    ({"max_tokens": "0"}, "max_tokens"),
    ({"schema": "{"}, "schema"),
    ({"system": "a\0b"}, "defaults"),
]


@pytest.mark.parametrize(("query", "named"), BAD_QUERIES)
def test_a_parameter_that_is_none_or_wrong_is_named(
    system: System, query: Json, named: str
) -> None:
    problem = refused(system, 400, ndjson(lines(1)), query)
    assert named in problem["detail"]


@pytest.mark.parametrize("query", ["name=%ff", "%ff=1", "model=a%c3"])
def test_a_query_that_is_no_text_is_refused(system: System, query: str) -> None:
    reply = system.http.post(f"/api/batches?{query}", content=ndjson(lines(1)))
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_parameter")
    assert "UTF-8" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/batches?state=failed"),
        ("GET", "/api/batches/bat_1?name=x"),
        ("GET", "/api/batches/bat_1/results?limit=1&status=failed"),
        ("GET", "/api/usage?by=day&batch_id=bat_1"),
        ("POST", "/api/batches/bat_1/pause?force=1"),
    ],
)
def test_a_parameter_that_a_route_does_not_have_is_refused(
    system: System, method: str, path: str
) -> None:
    reply = system.http.request(method, path)
    assert reply.status_code == 400, reply.text
    (fault,) = reply.json()["errors"]
    assert fault["code"] == "unknown_parameter"
    assert fault["field"] in path
    assert fault["field"] in reply.json()["detail"]


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE"])
def test_a_method_that_a_path_does_not_have_is_told_all_that_it_has(
    system: System, method: str
) -> None:
    reply = system.http.request(method, "/api/batches")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_health_checks_may_be_asked_without_their_text(system: System, path: str) -> None:
    reply = system.http.head(path)
    assert (reply.status_code, reply.content) == (200, b"")
    assert system.http.put(path).headers["allow"] == "GET, HEAD"


def test_an_unknown_default_model_is_told_with_the_closest_ones(system: System) -> None:
    jobs = [{"custom_id": f"a{number}", "prompt": "x"} for number in range(3)]
    problem = refused(system, 400, ndjson(jobs), {"model": "chaep"})
    assert problem["error_count"] == 3
    assert {fault["code"] for fault in problem["errors"]} == {"unknown_model"}
    assert "did you mean cheap?" in problem["errors"][0]["message"]


def test_defaults_of_the_query_fill_what_lines_leave_out(system: System) -> None:
    jobs = [{"custom_id": f"a{number}", "prompt": "x"} for number in range(3)]
    query = {"model": "cheap", "name": "n", "priority": "high", "max_cost_usd": "1.5"}
    batch = accepted(system, ndjson(jobs), query)
    assert (batch["name"], batch["priority"]) == ("n", "high")
    assert batch["max_cost_usd"] == "1.500000000"


@pytest.mark.parametrize("key", ["", "tm_wrong"])
def test_without_a_valid_key_nothing_is_read(system: System, key: str) -> None:
    before = rows(system)
    reply = httpx.post(
        f"{system.url}/api/batches",
        content=ndjson(lines(10)),
        headers={"x-api-key": key},
        trust_env=False,
    )
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthorised")
    assert reply.headers["content-type"] == "application/problem+json"
    assert rows(system) == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/batches/bat_nowhere", 404),
        ("GET", "/api/batches/bat_nowhere/results", 404),
        ("POST", "/api/batches/bat_nowhere/pause", 404),
        ("POST", "/api/batches/bat_nowhere/resume", 404),
        ("POST", "/api/batches/bat_nowhere/cancel", 404),
        ("GET", "/api/batches/..%2f..%2fetc", 404),
        ("GET", "/api/batches/%00", 404),
        ("GET", "/api/batches/%00/results", 404),
        ("POST", "/api/batches/%00/pause", 404),
        ("POST", "/api/batches/a%00b/cancel", 404),
        ("GET", "/api/nothing", 404),
        ("DELETE", "/api/batches", 405),
        ("GET", "/api/batches?limit=0", 400),
        ("GET", "/api/batches?cursor=nonsense", 400),
        ("GET", "/api/usage?by=colour", 400),
    ],
)
def test_what_is_not_there_or_not_meant_is_a_problem_document(
    system: System, method: str, path: str, status: int
) -> None:
    reply = system.http.request(method, path)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"]


# The schema of the database


def test_an_empty_database_is_refused_by_a_worker_and_brought_up_to_date_by_the_api(
    tmp_path: Path, empty_database_url: str
) -> None:
    with running_system(
        tmp_path / "old", "http://127.0.0.1:9", TIDEMILL_DATABASE_URL=empty_database_url
    ) as old:
        for early in [old.start("worker"), old.start("beat")]:
            assert early.wait_ended(20.0) == 2
            assert last_line(early.log()).startswith("tidemill: the database's schema is older")
        old.start_api()
        old.submit(lines(3))


def test_a_newer_database_is_refused_by_every_part_in_one_clear_line(
    tmp_path: Path, database_url: str
) -> None:
    with running_system(
        tmp_path / "new", "http://127.0.0.1:9", TIDEMILL_DATABASE_URL=database_url
    ) as new:
        new.start_api().kill()
        with new.database() as database, database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        ended = [new.start("api", "--port", str(new.port)), new.start("worker"), new.start("beat")]
        ended.append(new.start("up", "--port", str(new.port), "--no-flower"))
        for part in ended:
            assert part.wait_ended(30.0) == 2
            assert "Traceback" not in part.log()
            said = last_line(part.log())
            assert said.startswith("tidemill: the database's schema is at revision 9999")
            assert "upgraded by a newer version" in said


def last_line(log: str) -> str:
    return log.strip().splitlines()[-1]
