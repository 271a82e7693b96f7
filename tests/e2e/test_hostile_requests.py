"""Requests that nobody sends by accident: each is answered as what it is, by a real server."""

import gzip
import re
import socket
from collections.abc import Iterator

import httpx
import psutil
import pytest
from sqlmodel import select

from api.access.known_keys import GUESSES
from api.intake.bodies import MAX_BYTES
from api.server.front_door import MAX_HEADERS_BYTES
from api.server.listener import MAX_TARGET_BYTES
from jobs.store.projects import create_key, ensure_project
from jobs.tables import Job
from tests.support.lone_api import lone_api
from tests.support.system import Json, System, lines, ndjson


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The API alone, on each database."""
    with lone_api(request, tmp_path_factory.mktemp("hostile")) as system:
        yield system


@pytest.fixture(scope="module")
def stranger(system: System) -> Iterator[httpx.Client]:
    """A client of another project."""
    with system.database() as database, database.write() as session:
        key = create_key(session, ensure_project(session, "stranger"))
    headers = {"x-api-key": key}
    with httpx.Client(base_url=system.url, headers=headers, trust_env=False) as client:
        yield client


on_one = pytest.mark.parametrize("system", ["sqlite"], indirect=True)
"""Of what is answered before anybody asks the database, or read as it is on either."""


def batch(system: System, count: int = 1) -> str:
    reply = system.http.post("/api/batches", content=ndjson(lines(count)))
    assert reply.status_code == 202, reply.text
    name: str = reply.json()["id"]
    return name


def is_problem(reply: httpx.Response, status: int, code: str) -> Json:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem: Json = reply.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"]
    return problem


def say(system: System, request: bytes) -> tuple[int, bytes]:
    """Send bytes, and return the status and the rest of what comes back until the end."""
    with socket.create_connection(("127.0.0.1", system.port), timeout=20.0) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
    status, rest = re.match(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n(.*)", answer, re.DOTALL).groups()  # type: ignore[union-attr]  # or the test fails
    return int(status), rest


def head(system: System, *lines_: bytes, host: bytes = b"host: tidemill\r\n") -> bytes:
    key = f"x-api-key: {system.key}\r\n".encode()
    return b"".join([*(line + b"\r\n" for line in lines_), host, key, b"connection: close\r\n\r\n"])


# Hosts, targets and heads


@on_one
@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"host: \r\n",
        b"host: evil#@x\r\n",
        b"host: a b\r\n",
        b"host: evil/path\r\n",
        b"host: user@evil\r\n",
        b"host: tidemill:port\r\n",
        b"host: a\r\nhost: b\r\n",
        b"host: a\r\nhost: a\r\n",
        b"host: " + b"a" * 300 + b"\r\n",
    ],
)
def test_a_host_that_can_not_be_is_refused_before_anything_else(
    system: System, host: bytes
) -> None:
    for target in (b"/api/batches", b"/healthz", b"/nowhere"):
        status, rest = say(system, head(system, b"GET " + target + b" HTTP/1.1", host=host))
        assert status == 400
        assert b'"code":"invalid_host"' in rest
        assert b"application/problem+json" in rest


@on_one
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("authorization", ("Bearer tm_a", "Bearer tm_b")),
        ("x-api-key", ("tm_a", "tm_a")),
        ("idempotency-key", ("a", "b")),
        ("content-type", ("application/x-ndjson", "application/json")),
        ("content-encoding", ("gzip", "identity")),
    ],
)
def test_a_header_that_decides_something_stands_once(
    system: System, name: str, values: tuple[str, str]
) -> None:
    kept = {k: v for k, v in system.http.headers.items() if k != name}
    with httpx.Client(base_url=system.url, trust_env=False) as client:
        client.headers.clear()
        reply = client.post(
            "/api/batches",
            content=ndjson(lines(1)),
            headers=[*kept.items(), (name.title(), values[0]), (name, values[1])],
        )
    problem = is_problem(reply, 400, "duplicate_header")
    assert f"`{name}`" in problem["detail"]


@on_one
@pytest.mark.parametrize("host", [b"tidemill", b"127.0.0.1:8080", b"[::1]:80", b"a-b.example_1"])
def test_a_host_that_can_be_is_let_in(system: System, host: bytes) -> None:
    request = head(system, b"GET /healthz HTTP/1.1", host=b"Host: " + host + b"\r\n")
    assert say(system, request)[0] == 200


@on_one
def test_an_old_client_names_no_host(system: System) -> None:
    assert say(system, head(system, b"GET /healthz HTTP/1.0", host=b""))[0] == 200


@on_one
@pytest.mark.parametrize(
    "target", [b"http://evil/healthz", b"https://tidemill/healthz", b"tidemill:443", b"healthz"]
)
def test_a_target_that_names_a_host_is_refused(system: System, target: bytes) -> None:
    status, rest = say(system, head(system, b"GET " + target + b" HTTP/1.1"))
    assert status == 400
    assert b"application/problem+json" in rest
    assert b"invalid_h" in rest


@on_one
@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
        b"POST /api/batches HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/batches HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /api/batches HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n"
        b"transfer-encoding: chunked\r\n\r\n",
        b"POST /api/batches HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_problem_document_as_well(system: System, request_: bytes) -> None:
    status, rest = say(system, request_)
    assert status == 400
    assert b'"code":"invalid_http"' in rest
    assert b"application/problem+json" in rest


def test_a_body_that_is_shorter_than_it_says_leaves_nothing(system: System) -> None:
    before = system.http.get("/api/batches", params={"limit": 1000}).json()
    start = head(system, b"POST /api/batches HTTP/1.1", b"content-length: 100000")
    with socket.create_connection(("127.0.0.1", system.port), timeout=20.0) as connection:
        connection.sendall(start + ndjson(lines(1)))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65_536)
    assert system.http.get("/api/batches", params={"limit": 1000}).json() == before
    assert "Traceback" not in system.processes[0].log()


@on_one
def test_headers_that_are_too_large_are_refused(system: System) -> None:
    is_problem(
        system.http.get("/healthz", headers={"x-large": "x" * (MAX_HEADERS_BYTES + 1)}),
        431,
        "headers_too_large",
    )
    many = {f"x-{number}": "x" for number in range(10_000)}
    is_problem(system.http.get("/healthz", headers=many), 431, "headers_too_large")


@on_one
@pytest.mark.parametrize("start", [b"GET /healthz HTTP/1.1\r\nx: ", b"GET /"])
def test_a_head_without_an_end_is_ended(system: System, start: bytes) -> None:
    memory = psutil.Process(system.processes[0].pid).memory_info
    before = memory().rss
    # A thousandth of it would do; whoever reads it all would need 64 MB.
    with (
        socket.create_connection(("127.0.0.1", system.port), timeout=20.0) as connection,
        pytest.raises((ConnectionResetError, BrokenPipeError)),
    ):
        connection.sendall(start + b"x" * (64 << 20))
    assert memory().rss - before < 16 << 20


@on_one
def test_a_query_that_is_too_long_or_has_too_many_parameters_is_refused(system: System) -> None:
    for start in (b"/", b"/api/batches?cursor="):
        target = start + b"x" * MAX_TARGET_BYTES
        status, rest = say(system, head(system, b"GET " + target + b" HTTP/1.1"))
        assert status == 414
        assert b'"code":"uri_too_long"' in rest
    many = "/api/batches?" + "&".join(f"p{number}=1" for number in range(5_000))
    is_problem(system.http.get(many), 400, "too_many_parameters")


# Methods, ranges


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/api/batches",
        "/api/usage",
        "/api/batches/none",
        "/api/batches?limit=0",
    ],
)
def test_head_is_answered_as_get_without_the_body(system: System, path: str) -> None:
    got, asked = system.http.get(path), system.http.head(path)
    assert asked.content == b""
    assert asked.status_code == got.status_code
    different = {"date", "transfer-encoding"}  # how a body is sent that there isn't
    assert {k: v for k, v in asked.headers.items() if k not in different} == {
        k: v for k, v in got.headers.items() if k not in different
    }


def test_head_of_results_reads_none(system: System) -> None:
    path = f"/api/batches/{batch(system)}/results"
    reply = system.http.head(path)
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["x-next-cursor"] == "0"
    assert system.http.get("/healthz").status_code == 200


def test_ranges_are_ignored(system: System) -> None:
    ranges = ",".join(f"{number}-{number + 1}" for number in range(1000))
    path = f"/api/batches/{batch(system)}/results"
    reply = system.http.get(path, headers={"range": f"bytes={ranges}"})
    assert (reply.status_code, reply.content) == (200, b"")


# Ids, cursors and other parameters


@pytest.mark.parametrize("suffix", ["", "/results", "/attempts"])
def test_an_id_that_is_none_and_a_stranger_s_are_answered_alike(
    system: System, stranger: httpx.Client, suffix: str
) -> None:
    name = batch(system)
    assert system.http.get(f"/api/batches/{name}{suffix}").status_code == 200
    answers = {
        stranger.get(f"/api/batches/{other}{suffix}").text
        for other in (name, "bat_0", "9" * 5000, "%00", "a%00b", "%2e%2e", "%F0%9F%98%80", "%ff")
    }
    assert len(answers) == 1
    assert '"code":"not_found"' in answers.pop()


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_stranger_s_batch_is_not_moved(system: System, stranger: httpx.Client, verb: str) -> None:
    name = batch(system)
    is_problem(stranger.post(f"/api/batches/{name}/{verb}"), 404, "not_found")
    assert system.http.get(f"/api/batches/{name}").json()["state"] == "queued"


def test_a_cursor_leads_on_in_its_own_project_only(system: System, stranger: httpx.Client) -> None:
    names = [batch(system) for _ in range(3)]
    first = system.http.get("/api/batches", params={"limit": 2}).json()
    assert [row["id"] for row in first["data"]] == [names[2], names[1]]
    again = {"limit": 1, "cursor": first["next_cursor"]}
    assert system.http.get("/api/batches", params=again).json()["data"][0]["id"] == names[0]
    is_problem(stranger.get("/api/batches", params=again), 400, "invalid_cursor")


@pytest.mark.parametrize("path", ["/api/batches", "/api/batches/{}/attempts"])
@pytest.mark.parametrize("cursor", ["", "1", "MTo1", "' OR 1=1 --", "\0", "é", "x" * 5000])
def test_a_cursor_that_somebody_made_up_is_refused(system: System, path: str, cursor: str) -> None:
    reply = system.http.get(path.format(batch(system)), params={"cursor": cursor})
    is_problem(reply, 400, "invalid_cursor")


@on_one
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "out_of_range"),
        ("limit=-1", "out_of_range"),
        ("limit=1000000000", "out_of_range"),
        ("limit=" + "9" * 5000, "invalid_value"),
        ("limit=1_0", "invalid_value"),
        ("limit=%201", "invalid_value"),
        ("limit=1.0", "invalid_value"),
        ("limit=%D9%A1", "invalid_value"),
        ("limit=1&limit=2", "duplicate_parameter"),
        ("limt=1", "unknown_parameter"),
        ("x" * 9999 + "=1", "unknown_parameter"),
    ],
)
def test_a_parameter_is_read_as_it_is_written_or_not_at_all(
    system: System, query: str, code: str
) -> None:
    problem = is_problem(system.http.get(f"/api/batches?{query}"), 400, "invalid_parameter")
    (fault,) = problem["errors"]
    assert fault["code"] == code
    assert len(fault["field"]) <= 80
    assert len(problem["detail"]) < 200


@pytest.mark.parametrize("day", ["0", "1", "20261127", "2026-13-01", "0000-01-01", "now"])
def test_a_day_is_written_as_one(system: System, day: str) -> None:
    reply = system.http.get("/api/usage", params={"since": day})
    assert is_problem(reply, 400, "invalid_parameter")["errors"][0]["field"] == "since"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"priority": "1000000000"}, "priority"),
        ({"priority": "10^9"}, "priority"),
        ({"max_cost_usd": "1e400"}, "max_cost_usd"),
        ({"max_cost_usd": "-1"}, "max_cost_usd"),
        ({"max_cost_usd": "NaN"}, "max_cost_usd"),
        ({"max_cost_usd": "1" * 5000}, "max_cost_usd"),
        ({"max_cost_usd": "0." + "1" * 5000}, "max_cost_usd"),
        ({"max_tokens": "9223372036854775808"}, "max_tokens"),
        ({"max_tokens": "-1"}, "max_tokens"),
        ({"max_tokens": "1" * 5000}, "max_tokens"),
        ({"temperature": "-1"}, "temperature"),
        ({"temperature": "1e400"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"failover_after_s": "inf"}, "failover_after_s"),
    ],
)
def test_a_number_that_can_not_be_is_refused(system: System, query: Json, named: str) -> None:
    reply = system.http.post("/api/batches", params=query, content=ndjson(lines(1)))
    problem = is_problem(reply, 400, "invalid_parameter")
    assert named in problem["detail"]
    assert len(problem["detail"]) < 200


def test_a_budget_that_no_job_fits_into_is_refused_with_what_one_needs(system: System) -> None:
    """The prices are 0.10 and 0.40 dollars a million tokens: 1,000 of output are 0.0004."""
    body = ndjson([{**job, "max_tokens": 1000} for job in lines(3)])
    query = {"max_cost_usd": "0.0004"}
    reply = system.http.post("/api/batches", params=query, content=body)
    problem = is_problem(reply, 400, "budget_too_small")
    needed = re.search(r"may cost \$([0-9.]+),", problem["detail"])
    assert needed is not None
    assert 0.0004 < float(needed[1]) < 0.0005
    query = {"max_cost_usd": needed[1]}
    assert system.http.post("/api/batches", params=query, content=body).status_code == 202


# Bodies of changes


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_parameter"),
        (b"{", 400, "invalid_json"),
        (b'{"daily_usd":"1"}x', 400, "invalid_json"),
        (b'{"daily_usd":"1","daily_usd":"2"}', 400, "duplicate_key"),
        (b'{"daily_usd":NaN}', 400, "invalid_number"),
        (b'{"daily_usd":"\xff"}', 400, "invalid_encoding"),
        (b'{"daily_usd":1}', 400, "invalid_parameter"),
        (b'{"daily_usd":"1e400"}', 400, "invalid_parameter"),
        (b'{"day":"1"}', 400, "invalid_parameter"),
        (b"[" * 30_000, 400, "too_deep"),
        (b"[]", 400, "invalid_parameter"),
        (b'{"daily_usd":"' + b"1" * MAX_BYTES + b'"}', 413, "body_too_large"),
    ],
)
def test_a_change_that_can_not_be_changes_nothing(
    system: System, body: bytes, status: int, code: str
) -> None:
    before = system.http.get("/api/budget").json()
    json = {"content-type": "application/json"}
    is_problem(system.http.patch("/api/budget", content=body, headers=json), status, code)
    assert system.http.get("/api/budget").json() == before


@on_one
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "text/plain"}, "unsupported_media_type"),
        ({"content-type": ""}, "unsupported_media_type"),
        (
            {"content-type": "application/json", "content-encoding": "gzip"},
            "unsupported_encoding",
        ),
    ],
)
def test_a_change_is_json_as_it_is(system: System, headers: Json, code: str) -> None:
    reply = system.http.patch("/api/budget", content=b'{"daily_usd":"1"}', headers=headers)
    is_problem(reply, 415, code)


# Memory


HOSTILE_BODIES = {
    "one endless line": (b"x" * (1 << 20), 100, {}),
    "blank lines": (b"\n" * (1 << 20), 40, {}),
    "bad lines": (b"{}\n" * 350_000, 2, {}),
    "brackets": (b"[" * (1 << 20), 100, {}),
    "a document of nothing": (b"[]," * 350_000, 12, {"content-type": "application/json"}),
    "a document of brackets": (b"[" * (1 << 20), 12, {"content-type": "application/json"}),
    "a document of texts": (b'"\\"",' * 200_000, 5, {"content-type": "application/json"}),
    "a gzip bomb": (gzip.compress(b" " * (100 << 20)), 50, {"content-encoding": "gzip"}),
    "keys": (b'"k%d":1,' * 100_000, 100, {}),
}


@on_one
@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_a_hostile_body_takes_little_memory(system: System, name: str) -> None:
    block, times, headers = HOSTILE_BODIES[name]
    start = {"keys": b'{"custom_id":"a",', "brackets": b'{"custom_id":"a","schema":'}.get(name, b"")
    start = b"[" if headers.get("content-type") else start
    process = psutil.Process(system.processes[0].pid)
    peaks = [process.memory_info().rss]

    def body() -> Iterator[bytes]:
        yield start
        for _ in range(times):
            yield block
            peaks.append(process.memory_info().rss)

    reply = system.http.post("/api/batches", content=body(), headers=headers)
    assert 400 <= reply.status_code < 500, reply.text
    assert len(reply.content) < 60_000
    assert max(*peaks, process.memory_info().rss) < 300 << 20


# Names


def test_ids_that_only_look_alike_are_kept_apart(system: System) -> None:
    ids = ["a", "A", "\u00e9", "e\u0301", "\u2163", "IV", "a\u200d", "a\u200c", "\u0430", "ß", "ss"]
    jobs = [{**job, "custom_id": name} for job, name in zip(lines(len(ids)), ids, strict=True)]
    name = system.submit(jobs)
    assert system.batch(name)["counts"]["total"] == len(ids)
    with system.database() as database, database.read() as session:
        stored = set(session.exec(select(Job.custom_id)))
    assert set(ids) <= stored


# Addresses that callers give themselves


def test_no_header_gives_a_guesser_another_address(system: System) -> None:
    """The last one here: for seconds after it no new key is let in from this machine."""
    with httpx.Client(base_url=system.url, trust_env=False) as guesser:
        replies = [
            guesser.get(
                "/api/batches",
                headers={"x-api-key": f"tm_{number}", "x-forwarded-for": f"9.9.9.{number}"},
            )
            for number in range(GUESSES + 5)
        ]
    is_problem(replies[-1], 429, "too_many_guesses")
    assert [reply.status_code for reply in replies[:GUESSES]] == [401] * GUESSES
