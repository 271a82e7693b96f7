"""The commands as a person runs them, against a server that answers what the test says."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from scripts import command
from scripts.command import application
from scripts.command.client import Client
from tests.support.ports import free_port
from tests.unit.test_command_render import TOKENS, batch, result

JOBS = b'{"custom_id":"a1","prompt":"hello"}\n'
RESULT_LINES = b"".join(
    json.dumps(row).encode() + b"\n"
    for row in (
        result(seq=0),
        result(
            seq=1,
            custom_id="a2",
            status="failed",
            output=None,
            error={"code": "refused", "message": "the model refused"},
        ),
    )
)
DONE = batch(state="completed", finished_at="2026-03-01T12:01:00+00:00")
FLAWLESS = DONE | {"counts": DONE["counts"] | {"succeeded": 10, "failed": 0, "running": 0}}


@dataclass
class StubServer:
    """A server of prepared answers, by method and path; the last of a list stays."""

    url: str = ""
    answers: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, list[str]], dict[str, str], bytes]] = field(
        default_factory=list
    )

    def on(self, route: str, *values: object, status: int = 200) -> None:
        self.answers[route] = [
            (status, value if isinstance(value, bytes) else json.dumps(value).encode())
            for value in values
        ]

    def answer(self, route: str) -> tuple[int, bytes]:
        answers = self.answers.get(route)
        if not answers:
            return 404, b'{"detail": "there is no such thing"}'
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        do_PATCH = do_POST  # noqa: N815  (the name is http.server's)

        def _answer(self) -> None:
            address = urlsplit(self.path)
            route = f"{self.command} {address.path}"
            body = self._body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            stub.requests.append((route, parse_qs(address.query), headers, body))
            status, content = stub.answer(route)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    http.shutdown()
    http.server_close()
    thread.join()


Tidemill = Callable[..., Result]


@pytest.fixture
def tidemill(server: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tidemill:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEMILL_URL", server.url)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(command.app, list(arguments), input=stdin)

    return run


@pytest.fixture
def jobs_file(tmp_path: Path) -> str:
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(JOBS)
    return str(path)


def one_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


def test_submit_sends_the_file_and_tells_the_batch(
    server: StubServer, tidemill: Tidemill, jobs_file: str
) -> None:
    server.on("POST /api/batches", batch(state="queued"), status=202)
    ended = tidemill(
        *("submit", jobs_file, "--name", "night", "--kind", "generation", "--model", "m1"),
        *("--priority", "high", "--max-cost-usd", "1.50", "--max-tokens", "7"),
        *("--set", "target=fr", "--set", 'glossary={"a":"b=c"}', "--collapse", "never"),
        *("--reuse", "7d"),
        *("--no-repair", "--ask-again", "2"),
        *("--temperature", "0.5"),
    )
    assert ended.exit_code == 0, ended.stderr
    assert "bat_1" in ended.stdout
    assert "tidemill watch bat_1" in ended.stdout
    (_, query, headers, body) = server.requests[0]
    assert body == JOBS
    assert headers["content-type"] == "application/x-ndjson"
    assert query == {
        "name": ["night"],
        "kind": ["generation"],
        "model": ["m1"],
        "priority": ["high"],
        "target": ["fr"],
        "glossary": ['{"a":"b=c"}'],
        "collapse": ["never"],
        "reuse": ["7d"],
        "repair": ["False"],
        "ask_again": ["2"],
        "max_cost_usd": ["1.50"],
        "max_tokens": ["7"],
        "temperature": ["0.5"],
    }


def test_submit_takes_jobs_from_stdin(server: StubServer, tidemill: Tidemill) -> None:
    server.on("POST /api/batches", batch(state="queued"), status=202)
    ended = tidemill("submit", "-", stdin=JOBS)
    assert ended.exit_code == 0, ended.stderr
    assert server.requests[0][3] == JOBS


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_submit_is_sent_again_under_one_key_of_its_own(
    server: StubServer, tidemill: Tidemill, jobs_file: str, source: str
) -> None:
    accepted = (202, json.dumps(batch(state="queued")).encode())
    keys = []
    for _ in range(2):
        server.answers["POST /api/batches"] = [(503, b'{"detail": "not now"}'), accepted]
        ended = tidemill("submit", *(("-",) if source == "stdin" else (jobs_file,)), stdin=JOBS)
        assert ended.exit_code == 0, ended.stderr
        assert one_line(ended.stderr) == "tidemill: not now; trying again, for up to 60 s"
        assert [body for _, _, _, body in server.requests] == [JOBS, JOBS]
        (key,) = {headers["idempotency-key"] for _, _, headers, _ in server.requests}
        keys.append(key)
        server.requests.clear()
    assert keys[0] != keys[1]


def test_submit_that_gives_up_says_how_to_go_on(
    server: StubServer, tidemill: Tidemill, jobs_file: str
) -> None:
    server.on("POST /api/batches", {"detail": "not now"}, status=503)
    ended = tidemill("submit", jobs_file, "--retry-for", "0", "--idempotency-key", "it's mine")
    assert ended.exit_code == 5
    told = one_line(ended.stderr)
    assert "not now" in told
    assert """--idempotency-key 'it'"'"'s mine' makes no second batch""" in told
    assert server.requests[0][2]["idempotency-key"] == "it's mine"


@pytest.mark.parametrize("key", ["", "k" * 256, "é", "a\nb"])
def test_a_key_that_is_none_is_wrong_usage(tidemill: Tidemill, jobs_file: str, key: str) -> None:
    ended = tidemill("submit", jobs_file, "--idempotency-key", key)
    assert ended.exit_code == 2
    assert "1 to 255 printable" in ended.stderr


def test_submit_says_nothing_about_what_it_was_not_told(
    server: StubServer, tidemill: Tidemill, jobs_file: str
) -> None:
    server.on("POST /api/batches", batch(state="queued"), status=202)
    assert tidemill("submit", jobs_file).exit_code == 0
    assert server.requests[0][1] == {}


def test_a_submission_that_is_rejected_shows_its_bad_lines_and_ends_with_2(
    server: StubServer, tidemill: Tidemill, jobs_file: str
) -> None:
    fault = {"line": 17, "field": "max_tokens", "code": "wrong", "message": "expected 1 or more"}
    problem = {"detail": "3 of 20 lines are bad", "errors": [fault], "error_count": 3}
    server.on("POST /api/batches", problem, status=400)
    ended = tidemill("submit", jobs_file, "--watch")
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert "3 of 20 lines are bad" in ended.stderr
    row = next(line for line in ended.stderr.splitlines() if "max_tokens" in line)
    assert "17" in row
    assert "expected 1 or more" in row
    assert "2 more faults are not listed" in ended.stderr


def test_submit_can_stay_until_the_results_are_in_a_file(
    server: StubServer, tidemill: Tidemill, jobs_file: str, tmp_path: Path
) -> None:
    server.on("POST /api/batches", batch(state="queued"), status=202)
    server.on("GET /api/batches/bat_1", batch(), DONE)
    server.on("GET /api/batches/bat_1/results", RESULT_LINES)
    output = tmp_path / "out.jsonl"
    ended = tidemill("submit", jobs_file, "-o", str(output))
    assert ended.exit_code == 1
    assert output.read_bytes() == RESULT_LINES
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    assert "9/10 done, 2 failed" in ended.stderr
    assert "2 failed" in ended.stdout


def test_submit_prints_the_ended_batch_as_json_and_nothing_else(
    server: StubServer, tidemill: Tidemill, jobs_file: str
) -> None:
    server.on("POST /api/batches", batch(state="queued"), status=202)
    server.on("GET /api/batches/bat_1", FLAWLESS)
    ended = tidemill("submit", jobs_file, "--watch", "--json")
    assert ended.exit_code == 0
    assert json.loads(ended.stdout) == FLAWLESS


def test_a_place_that_results_can_not_be_written_to_is_refused_before_anything_is_sent(
    server: StubServer, tidemill: Tidemill, jobs_file: str, tmp_path: Path
) -> None:
    for output in (tmp_path, tmp_path / "missing" / "out.jsonl"):
        ended = tidemill("submit", jobs_file, "-o", str(output))
        assert ended.exit_code == 2
        assert str(output) in one_line(ended.stderr)
    assert server.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "no-such-file.jsonl"),
        ("submit", "."),
        ("submit", "jobs.jsonl", "--max-cost-usd", "cheap"),
        ("submit", "jobs.jsonl", "--priority", "urgent"),
        ("submit", "jobs.jsonl", "--set", "target"),
        ("submit", "jobs.jsonl", "--set", "=fr"),
        ("show",),
        ("no-such-command",),
        ("batches", "--url", "localhost"),
    ],
)
def test_wrong_usage_ends_with_2_and_sends_nothing(
    server: StubServer, tidemill: Tidemill, jobs_file: str, arguments: tuple[str, ...]
) -> None:
    del jobs_file
    ended = tidemill(*arguments)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr != ""
    assert server.requests == []


@pytest.mark.parametrize(("status", "code"), [(401, 3), (404, 4), (409, 2), (503, 5), (500, 5)])
@pytest.mark.parametrize("arguments", [("show", "bat_1"), ("results", "bat_1"), ("batches",)])
def test_a_refusal_is_one_line_and_an_exit_status(
    server: StubServer, tidemill: Tidemill, status: int, code: int, arguments: tuple[str, ...]
) -> None:
    for route in ("/bat_1", "/bat_1/results", ""):
        server.on(f"GET /api/batches{route}", {"detail": "not\x1b[2Jnow"}, status=status)
    ended = tidemill(*arguments)
    assert ended.exit_code == code
    assert ended.stdout == ""
    assert "not\\x1b[2Jnow" in one_line(ended.stderr)


def test_a_server_that_is_not_there_is_one_line_and_5(tidemill: Tidemill) -> None:
    ended = tidemill("batches", "--url", f"http://127.0.0.1:{free_port()}")
    assert ended.exit_code == 5
    assert "tidemill up" in one_line(ended.stderr)


def test_the_environments_proxy_is_not_asked_for_this_machine(
    server: StubServer, tidemill: Tidemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    server.on("GET /api/batches/bat_1", DONE)
    assert tidemill("show", "bat_1").exit_code == 0


def test_the_key_is_the_options_then_the_environments_then_the_homes(
    server: StubServer, tidemill: Tidemill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.on("GET /api/batches/bat_1", DONE)

    def sent(*arguments: str) -> str | None:
        assert tidemill("show", "bat_1", *arguments).exit_code == 0
        return server.requests[-1][2].get("authorization")

    assert sent() is None
    home = tmp_path / "home"
    home.mkdir()
    (home / "api-key").write_text("of-home\n")
    monkeypatch.setenv("TIDEMILL_HOME", str(home))
    assert sent() == "Bearer of-home"
    monkeypatch.setenv("TIDEMILL_API_KEY", "of-environment")
    assert sent() == "Bearer of-environment"
    assert sent("--key", "of-option") == "Bearer of-option"


def test_batches_are_listed_with_where_to_go_on(server: StubServer, tidemill: Tidemill) -> None:
    page = {"data": [DONE, batch(id="bat_0", name=None)], "next_cursor": "c2"}
    server.on("GET /api/batches", page)
    ended = tidemill("batches", "--limit", "2", "--cursor", "c1")
    assert ended.exit_code == 0
    assert "bat_1" in ended.stdout
    assert "bat_0" in ended.stdout
    assert "--cursor c2" in ended.stdout
    assert server.requests[0][1] == {"limit": ["2"], "cursor": ["c1"]}
    assert json.loads(tidemill("batches", "--json").stdout) == page


def test_a_retry_names_the_codes_and_what_is_otherwise(
    server: StubServer, tidemill: Tidemill
) -> None:
    server.on("POST /api/batches/bat_1/retry", batch(id="bat_2", state="queued"), status=202)
    ended = tidemill(
        *("retry", "bat_1", "--code", "truncated", "--code", "refused"),
        *("--set", "max_tokens=900", "--name", "again", "--max-cost", "2", "--priority", "bulk"),
        *("--idempotency-key", "k1"),
    )
    assert ended.exit_code == 0, ended.stderr
    assert "bat_2 is accepted" in ended.stdout
    (_, query, headers, _) = server.requests[0]
    assert headers["idempotency-key"] == "k1"
    assert query == {
        "code": ["truncated,refused"],
        "max_tokens": ["900"],
        "name": ["again"],
        "max_cost_usd": ["2"],
        "priority": ["bulk"],
    }


def test_show_tells_what_needed_no_call_and_of_what_a_batch_is_a_retry(
    server: StubServer, tidemill: Tidemill
) -> None:
    saved = {"collapsed_jobs": 2, "reused_jobs": 1200, "saved_usd": "0.5", "retry_of": "bat_0"}
    server.on("GET /api/batches/bat_1", batch(**saved))
    said = tidemill("show", "bat_1").stdout
    assert "2 same as another job, 1,200 answered before; saved $0.50" in said
    assert "bat_0" in said


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_a_batch_is_steered_by_its_verb(server: StubServer, tidemill: Tidemill, verb: str) -> None:
    changed = batch(state="paused")
    server.on(f"POST /api/batches/bat_1/{verb}", changed)
    assert "paused" in tidemill(verb, "bat_1").stdout
    assert json.loads(tidemill(verb, "bat_1", "--json").stdout) == changed


def test_results_are_lines_of_json_where_no_terminal_is(
    server: StubServer, tidemill: Tidemill
) -> None:
    server.on("GET /api/batches/bat_1/results", RESULT_LINES)
    ended = tidemill("results", "bat_1", "--order", "finished")
    assert ended.stdout_bytes == RESULT_LINES
    assert server.requests[0][1]["order"] == ["finished"]


def test_results_can_be_those_without_an_answer(server: StubServer, tidemill: Tidemill) -> None:
    server.on("GET /api/batches/bat_1/results", RESULT_LINES)
    ended = tidemill("results", "bat_1", "--failed")
    assert [json.loads(line)["custom_id"] for line in ended.stdout.splitlines()] == ["a2"]


def test_a_download_that_fails_leaves_the_old_file(
    server: StubServer, tidemill: Tidemill, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("yesterday's")
    server.on("GET /api/batches/bat_1/results", {"detail": "down"}, status=503)
    assert tidemill("results", "bat_1", "-o", str(output)).exit_code == 5
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert output.read_text() == "yesterday's"


def test_usage_is_summed_by_what_was_asked(server: StubServer, tidemill: Tidemill) -> None:
    figures = {**TOKENS, "attempts": 3, "cost_usd": "0.250000000", "unpriced_attempts": 0}
    sums = {"data": [{"day": "2026-03-01", "model": "m1", **figures}], "total": figures}
    server.on("GET /api/usage", sums)
    ended = tidemill("usage", "--by", "day, model", "--since", "2026-03-01")
    assert ended.exit_code == 0
    assert "m1" in ended.stdout
    assert "$0.25" in ended.stdout
    assert server.requests[0][1] == {"by": ["day,model"], "since": ["2026-03-01"]}
    assert json.loads(tidemill("usage", "--json").stdout) == sums


def problem(code: str, **more: Any) -> dict[str, Any]:
    return {"type": "about:blank", "code": code, "detail": "in words", **more}


@pytest.mark.parametrize(
    ("arguments", "status", "code", "exit_status"),
    [
        (("show", "bat_1"), 401, "unauthorised", 3),
        (("results", "bat_1"), 404, "not_found", 4),
        (("batches",), 503, "service_unavailable", 5),
        (("batches",), 500, "internal_error", 5),
        (("watch", "bat_1"), 404, "not_found", 4),
    ],
)
def test_with_json_a_refusal_is_one_object_on_stderr_with_the_servers_code(
    server: StubServer,
    tidemill: Tidemill,
    arguments: tuple[str, ...],
    status: int,
    code: str,
    exit_status: int,
) -> None:
    for route in ("/bat_1", "/bat_1/results", ""):
        server.on(f"GET /api/batches{route}", problem(code), status=status)
    ended = tidemill(*arguments, "--json")
    assert (ended.exit_code, ended.stdout) == (exit_status, "")
    error = json.loads(one_line(ended.stderr))["error"]
    assert (error["code"], error["status"], error["faults"]) == (code, status, [])
    assert "in words" in error["message"]


def test_with_json_the_bad_lines_of_a_submission_are_listed(
    server: StubServer, tidemill: Tidemill, jobs_file: str
) -> None:
    fault = {"line": 17, "field": "max_tokens", "code": "wrong", "message": "expected 1 or more"}
    refusal = problem("invalid_jobs", errors=[fault], error_count=1)
    server.on("POST /api/batches", refusal, status=400)
    ended = tidemill("submit", jobs_file, "--json")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert json.loads(one_line(ended.stderr)) == {
        "error": {
            "code": "invalid_jobs",
            "message": "in words",
            "status": 400,
            "faults": [fault],
        }
    }


@pytest.mark.parametrize(
    ("arguments", "code", "exit_status"),
    [
        (("batches", "--url", "http://127.0.0.1:9"), "service_unavailable", 5),
        (("batches", "--url", "localhost"), "invalid_configuration", 2),
        (("show",), "wrong_usage", 2),
        (("batches", "--limit", "none"), "wrong_usage", 2),
        (("submit", "no-such-file.jsonl"), "wrong_usage", 2),
    ],
)
def test_with_json_what_needs_no_server_is_one_object_as_well(
    tidemill: Tidemill, arguments: tuple[str, ...], code: str, exit_status: int
) -> None:
    ended = tidemill(*arguments, "--json")
    assert (ended.exit_code, ended.stdout) == (exit_status, "")
    error = json.loads(one_line(ended.stderr))["error"]
    assert error["code"] == code
    assert error["message"]
    assert "status" not in error


PAUSED = batch(state="paused", waiting_for="its budget of $1.00 is used up")
PAUSED["counts"] = PAUSED["counts"] | {"running": 0, "waiting": 1}


def test_what_is_paused_ends_a_watch_without_a_terminal_with_6_and_without_results(
    server: StubServer, tidemill: Tidemill, jobs_file: str, tmp_path: Path
) -> None:
    server.on("POST /api/batches", batch(state="queued"), status=202)
    server.on("GET /api/batches/bat_1", PAUSED | {"counts": batch()["counts"]}, PAUSED)
    output = tmp_path / "out.jsonl"
    for arguments in (("watch", "bat_1"), ("submit", jobs_file, "-o", str(output))):
        ended = tidemill(*arguments)
        assert ended.exit_code == 6
        last = ended.stderr.splitlines()[-1]
        assert "bat_1 is paused: its budget of $1.00 is used up" in last
        assert "`tidemill resume bat_1`" in last
        assert "`tidemill budget --batch bat_1" in last
    assert not output.exists()


def test_with_json_a_paused_batch_is_on_stdout_and_its_pause_the_only_word_on_stderr(
    server: StubServer, tidemill: Tidemill
) -> None:
    server.on("GET /api/batches/bat_1", PAUSED)
    ended = tidemill("watch", "bat_1", "--json")
    assert ended.exit_code == 6
    assert json.loads(ended.stdout) == PAUSED
    assert json.loads(one_line(ended.stderr))["error"]["code"] == "paused"


def test_an_interrupted_watch_leaves_the_batch_running_and_says_how_to_go_on(
    server: StubServer, tidemill: Tidemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server

    def interrupt(_self: Client, _batch_id: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "batch", interrupt)
    ended = tidemill("watch", "bat_1")
    assert ended.exit_code == 130
    assert "tidemill watch bat_1" in one_line(ended.stderr)


def test_an_interrupted_upload_ends_with_130_and_says_where_to_look(
    server: StubServer, tidemill: Tidemill, jobs_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server

    def interrupt(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "submit", interrupt)
    ended = tidemill("submit", jobs_file, "--idempotency-key", "my key")
    assert ended.exit_code == 130
    assert "--idempotency-key 'my key' goes on" in one_line(ended.stderr)


def fail() -> None:
    raise ZeroDivisionError("an unlikely fault")


def test_a_fault_of_the_program_is_a_line_for_a_person_that_names_a_file_with_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(application, "app", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with pytest.raises(SystemExit):
        command.main()
    said = one_line(capsys.readouterr().err)
    (kept,) = tmp_path.iterdir()
    assert "ZeroDivisionError: an unlikely fault" in said
    assert str(kept) in said
    assert "Traceback" in kept.read_text()


def test_a_fault_of_the_program_is_in_a_log_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(application, "app", fail)
    with pytest.raises(SystemExit):
        command.main()
    assert "Traceback" in capsys.readouterr().err


def test_help_tells_every_exit_status(tidemill: Tidemill) -> None:
    text = tidemill("--help").stdout
    for status in (
        "0 done",
        "1 the batch",
        "2 wrong usage",
        "3 not",
        "4 not",
        "5 the",
        "6 what",
        "130",
    ):
        assert status in " ".join(text.split())


BUDGET = {
    "project": "default",
    "daily_usd": "5.000000000",
    "monthly_usd": None,
    "day": {
        "spent_usd": "1.250000000",
        "reserved_usd": "0.000000100",
        "resets_at": "2026-03-02T00:00:00+00:00",
    },
    "month": {
        "spent_usd": "20.000000000",
        "reserved_usd": "0.000000100",
        "resets_at": "2026-04-01T00:00:00+00:00",
    },
}


def test_budget_shows_caps_and_what_is_used_of_them(server: StubServer, tidemill: Tidemill) -> None:
    server.on("GET /api/budget", BUDGET)
    shown = tidemill("budget")
    assert shown.exit_code == 0, shown.output
    words = [line.split() for line in shown.stdout.splitlines()]
    assert ["default", "day", "$5.00", "$1.25", "$0.0000001"] in [row[:5] for row in words]
    assert ["default", "month", "none", "$20.00"] in [row[:4] for row in words]
    assert json.loads(tidemill("budget", "--json").stdout) == BUDGET


def test_budget_changes_only_what_it_is_told(server: StubServer, tidemill: Tidemill) -> None:
    server.on("PATCH /api/budget", BUDGET)
    for arguments, body in (
        (["--daily", "5.00", "--monthly", "100"], {"daily_usd": "5.00", "monthly_usd": "100"}),
        (["--daily", "none"], {"daily_usd": None}),
    ):
        assert tidemill("budget", *arguments).exit_code == 0
        assert json.loads(server.requests[-1][3]) == body


def test_budget_changes_that_of_a_batch(server: StubServer, tidemill: Tidemill) -> None:
    server.on("PATCH /api/batches/bat_1", batch(max_cost_usd="12.500000000"))
    shown = tidemill("budget", "--batch", "bat_1", "--max-cost", "12.50")
    assert shown.exit_code == 0, shown.output
    assert "of at most $12.50" in shown.stdout
    assert json.loads(server.requests[-1][3]) == {"max_cost_usd": "12.50"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--batch", "bat_1"),
        ("--max-cost", "1"),
        ("--batch", "bat_1", "--max-cost", "1", "--daily", "2"),
    ],
)
def test_budget_asks_nothing_of_the_server_when_it_is_not_clear_whose_it_is(
    server: StubServer, tidemill: Tidemill, arguments: tuple[str, ...]
) -> None:
    assert tidemill("budget", *arguments).exit_code == 2
    assert server.requests == []


def test_results_are_written_into_what_is_no_file_and_it_stays(
    server: StubServer, tidemill: Tidemill, tmp_path: Path
) -> None:
    server.on("GET /api/batches/bat_1/results", RESULT_LINES)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_bytes)
        assert tidemill("results", "bat_1", "-o", str(pipe)).exit_code == 0
        assert read.result(10.0) == RESULT_LINES
    assert pipe.is_fifo()
    ended = tidemill("results", "bat_1", "-o", "/dev/full")
    assert ended.exit_code == 2
    assert one_line(ended.stderr) == "tidemill: /dev/full can't be written: No space left on device"
    assert Path("/dev/full").is_char_device()


def test_results_follow_a_link_to_the_file_that_it_means(
    server: StubServer, tidemill: Tidemill, tmp_path: Path
) -> None:
    server.on("GET /api/batches/bat_1/results", RESULT_LINES)
    (tmp_path / "far").mkdir()
    link, file = tmp_path / "link", tmp_path / "far" / "results.jsonl"
    link.symlink_to(file)
    for _ in ("it is not there yet", "it is there"):
        assert tidemill("results", "bat_1", "-o", str(link)).exit_code == 0
        assert link.is_symlink()
        assert file.read_bytes() == RESULT_LINES


@pytest.mark.parametrize("arguments", ["results bat_1", "show bat_1 --json", "show bat_1"])
def test_a_full_disk_behind_stdout_is_one_line(server: StubServer, arguments: str) -> None:
    server.on("GET /api/batches/bat_1/results", RESULT_LINES)
    server.on("GET /api/batches/bat_1", DONE)
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "scripts.command", *arguments.split(), "--url", server.url],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30.0,
        )
    assert ended.returncode == 2
    said = "the output can't be written: No space left on device"
    if "--json" in arguments:
        assert json.loads(ended.stderr)["error"]["message"] == said
    else:
        assert one_line(ended.stderr) == f"tidemill: {said}"
