"""The client of the HTTP API: what it sends, and what every kind of answer becomes."""

import json
from collections.abc import Callable

import httpx
import pytest

from jobs.errors import (
    ConfigurationError,
    Conflict,
    InvalidSubmission,
    NotAuthorised,
    NotFound,
    ServiceUnavailable,
    SubmissionError,
    SubmissionTooLarge,
    TidemillError,
)
from scripts.command import client as client_module
from scripts.command.client import Client, open_http
from tidemill.upload import Upload, describe

Handler = Callable[[httpx.Request], httpx.Response]


def client_of(handler: Handler) -> Client:
    return Client(httpx.Client(base_url="http://tide.test", transport=httpx.MockTransport(handler)))


def problem(status: int, **members: object) -> Handler:
    document = {"type": "about:blank", "title": "A title", "status": status, **members}
    return lambda _request: httpx.Response(status, json=document)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, SubmissionError),
        (401, NotAuthorised),
        (403, NotAuthorised),
        (404, NotFound),
        (409, Conflict),
        (413, SubmissionTooLarge),
        (415, SubmissionError),
        (429, ServiceUnavailable),
        (500, ServiceUnavailable),
        (503, ServiceUnavailable),
    ],
)
def test_a_problem_becomes_its_error_with_the_servers_words(
    status: int, kind: type[TidemillError]
) -> None:
    with pytest.raises(kind, match="what went wrong") as caught:
        client_of(problem(status, detail="what went wrong")).batch("b")
    assert type(caught.value) is kind


def test_a_refusal_without_a_problem_document_still_says_what_was_asked_and_answered() -> None:
    client = client_of(lambda _request: httpx.Response(502, text="<html>Bad gateway</html>"))
    with pytest.raises(ServiceUnavailable, match=r"/api/batches/b .* 502 Bad Gateway"):
        client.batch("b")


def test_bad_lines_arrive_with_line_field_and_message() -> None:
    rows = [
        {"line": 3, "field": "prompt", "code": "missing", "message": "expected a text"},
        {"line": 9, "field": "", "code": "invalid_json", "message": "expected an object"},
    ]
    client = client_of(problem(400, detail="12 bad lines", errors=rows, error_count=12))
    with pytest.raises(InvalidSubmission, match="12 bad lines") as caught:
        client.submit(Upload(lambda: iter([b"{}\n"]), describe("a.jsonl"), None), {}, "k")
    faults = [(fault.line, fault.field, fault.message) for fault in caught.value.faults]
    assert faults == [(3, "prompt", "expected a text"), (9, "", "expected an object")]
    assert caught.value.fault_count == 12


def test_a_bad_parameter_is_no_bad_line() -> None:
    rows = [{"field": "colour", "code": "unknown_parameter", "message": "not permitted"}]
    with pytest.raises(SubmissionError, match="colour") as caught:
        client_of(problem(400, detail="colour: not permitted", errors=rows)).batches(5)
    assert not isinstance(caught.value, InvalidSubmission)


@pytest.mark.parametrize("text", ["<html>hello</html>", "[1]", '"a"', ""])
def test_an_answer_that_is_no_object_is_not_taken_for_tidemills(text: str) -> None:
    client = client_of(lambda _request: httpx.Response(200, text=text))
    with pytest.raises(ServiceUnavailable, match="is not Tidemill"):
        client.batch("b")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("refused"), "no server answers at http://tide.test"),
        (httpx.ConnectTimeout("slow"), "no server answers at http://tide.test"),
        (httpx.ReadTimeout("slow"), "does not answer in time"),
        (httpx.RemoteProtocolError("cut off"), r"was lost \(cut off\)"),
        (httpx.ReadError("reset"), r"was lost \(reset\)"),
    ],
)
def test_no_answer_is_a_service_that_is_unavailable(error: Exception, words: str) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(ServiceUnavailable, match=words):
        client_of(fail).batch("b")


def test_a_lost_answer_to_a_request_that_changes_something_advises_to_look_first() -> None:
    def lose(_request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("cut off")

    with pytest.raises(ServiceUnavailable, match="look before asking again"):
        client_of(lose).act("b", "cancel")
    with pytest.raises(ServiceUnavailable) as caught:
        client_of(lose).submit(Upload(lambda: iter([b"{}"]), describe(""), None), {}, "a-key")
    assert "look before" not in caught.value.message
    with pytest.raises(ServiceUnavailable) as caught:
        client_of(lose).batch("b")
    assert "look before" not in caught.value.message


def test_an_upload_is_sent_as_it_is_with_its_headers_and_the_defaults_in_the_query() -> None:
    seen: list[httpx.Request] = []

    def accept(request: httpx.Request) -> httpx.Response:
        request.read()
        seen.append(request)
        return httpx.Response(202, json={"id": "bat_1"})

    headers = describe("jobs.json") | {"content-length": "6"}
    upload = Upload(lambda: iter([b"abc", b"def"]), headers, 6)
    defaults = {"name": "ä b", "max_tokens": "5"}
    assert client_of(accept).submit(upload, defaults, "a-key") == {"id": "bat_1"}
    (request,) = seen
    assert (request.method, request.url.path) == ("POST", "/api/batches")
    assert dict(request.url.params) == {"name": "ä b", "max_tokens": "5"}
    assert request.content == b"abcdef"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == "6"
    assert request.headers["idempotency-key"] == "a-key"
    assert "transfer-encoding" not in request.headers


def test_a_batch_id_can_not_reach_another_path() -> None:
    paths: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(200, json={})

    client_of(answer).batch("../usage?by=day#x")
    assert paths == [b"/api/batches/..%2Fusage%3Fby%3Dday%23x"]


class Results:
    """Answers as the API does: in the order of the input, the cursor is the last place seen."""

    def __init__(self, count: int) -> None:
        self.lines = [json.dumps({"seq": 10 * place}).encode() for place in range(count)]
        self.requests: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params)
        self.requests.append(query)
        limit = int(query["limit"])
        if query["order"] == "input":
            after = int(query.get("after", -1))
            rest = [line for line in self.lines if json.loads(line)["seq"] > after]
            return httpx.Response(200, content=b"".join(line + b"\n" for line in rest[:limit]))
        start = int(query.get("after", 0))
        page = self.lines[start : start + limit]
        headers = {"x-next-cursor": str(start + len(page))}
        return httpx.Response(200, content=b"".join(line + b"\n" for line in page), headers=headers)


@pytest.mark.parametrize("order", ["input", "finished"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_results_come_once_each_over_all_pages(
    monkeypatch: pytest.MonkeyPatch, order: str, count: int
) -> None:
    monkeypatch.setattr(client_module, "RESULTS_PER_PAGE", 2)
    server = Results(count)
    assert list(client_of(server).results("b", order)) == server.lines
    assert len(server.requests) == count // 2 + 1


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://host", "http://", "http://[", "::"])
def test_what_is_no_address_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the address of a server"):
        open_http(url, None)


def test_the_key_goes_as_a_bearer_token() -> None:
    with open_http("http://127.0.0.1:1", "secret") as http:
        assert http.headers["authorization"] == "Bearer secret"
    with open_http("http://127.0.0.1:1", None) as http:
        assert "authorization" not in http.headers


@pytest.mark.parametrize("key", ["a\nb", "ключ", "a\x00"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_http("http://127.0.0.1:1", key)
    assert key not in caught.value.message
