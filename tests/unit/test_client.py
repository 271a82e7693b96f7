"""The client for programs: what is sent again, what is read once, and what refusals become."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from tidemill import (
    AsyncTidemill,
    Conflict,
    InvalidSubmission,
    NotAuthorised,
    ServiceUnavailable,
    SubmissionError,
    Tidemill,
    feed,
    patience,
)

JOBS = [{"custom_id": "a", "prompt": "one"}, {"custom_id": "b", "prompt": "two"}]
SENT = b'{"custom_id":"a","prompt":"one"}\n{"custom_id":"b","prompt":"two"}\n'


def batch(state: str = "running", total: int = 10, succeeded: int = 0) -> dict[str, Any]:
    return {"id": "bat_1", "state": state, "counts": {"total": total, "succeeded": succeeded}}


def problem(status: int, code: str = "some_code", **more: Any) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "It went wrong.", **more})


class BrokenOff(httpx.SyncByteStream, httpx.AsyncByteStream):
    """An answer whose connection is lost in its middle."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self.content[: len(self.content) // 2]
        raise httpx.ReadError("reset")

    async def __aiter__(self) -> Any:
        for block in self:
            yield block


class Server:
    """A batch whose results come two by two; every answer for which `trouble` has one, is that."""

    def __init__(self, *trouble: Exception | httpx.Response | None, results: int = 0) -> None:
        self.trouble = list(trouble)
        self.results = results
        self.arrived = 0
        self.breaks_off = 0
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        match self.trouble.pop(0) if self.trouble else None:
            case Exception() as error:
                raise error
            case httpx.Response() as response:
                return response
            case None:
                pass
        if request.url.path.endswith("/results"):
            return self._page(request.url.params)
        has_ended = self.arrived == self.results
        return httpx.Response(200, json=batch("completed" if has_ended else "running"))

    def _page(self, query: httpx.QueryParams) -> httpx.Response:
        first = int(query.get("after", 0))
        last = min(self.arrived, first + int(query["limit"]))
        self.arrived = min(self.results, self.arrived + 2)
        lines = b"".join(
            json.dumps({"custom_id": f"j{n}", "seq": 99 - n, "status": "succeeded"}).encode()
            + b"\n"
            for n in range(first, last)
        )
        headers = {"x-next-cursor": str(max(first, last))}
        if lines and self.breaks_off:
            self.breaks_off -= 1
            return httpx.Response(200, stream=BrokenOff(lines), headers=headers)
        return httpx.Response(200, content=lines, headers=headers)

    def client(self, **more: Any) -> Tidemill:
        http = httpx.Client(base_url="http://tide.test", transport=httpx.MockTransport(self))
        return Tidemill(http=http, **more)

    def async_client(self) -> AsyncTidemill:
        transport = httpx.MockTransport(self)
        return AsyncTidemill(
            http=httpx.AsyncClient(base_url="http://tide.test", transport=transport)
        )

    @property
    def bodies(self) -> list[bytes]:
        return [request.read() for request in self.requests]

    @property
    def keys(self) -> set[str]:
        return {request.headers["idempotency-key"] for request in self.requests}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSE", lambda _state: 0.001)
    monkeypatch.setattr(feed, "LOOK_EVERY_S", 0.001)


def trouble() -> list[Exception | httpx.Response | None]:
    return [
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("slow"),
        problem(409, "request_in_progress"),
        problem(503),
    ]


def test_a_submission_is_sent_again_whole_and_under_one_key() -> None:
    server = Server(*trouble())
    with server.client() as client:
        assert client.submit(iter(JOBS), name="n").id == "bat_1"
    assert server.bodies == [SENT] * 6
    (key,) = server.keys
    assert len(key) >= 20
    assert dict(server.requests[0].url.params) == {"name": "n"}


async def test_asyncio_sends_it_again_alike() -> None:
    server = Server(*trouble())
    async with server.async_client() as client:
        assert (await client.submit(iter(JOBS))).id == "bat_1"
    assert [await request.aread() for request in server.requests] == [SENT] * 6
    assert len(server.keys) == 1


def test_two_submissions_have_two_keys_unless_one_is_given() -> None:
    server = Server()
    client = server.client()
    client.submit(JOBS)
    client.submit(JOBS)
    assert len(server.keys) == 2
    client.submit(JOBS, idempotency_key="mine")
    assert server.requests[-1].headers["idempotency-key"] == "mine"


def test_what_has_no_key_and_changes_something_is_sent_once() -> None:
    for verb in ("pause", "resume", "cancel"):
        server = Server(httpx.ReadError("reset"))
        with pytest.raises(ServiceUnavailable, match="look before asking again"):
            getattr(server.client(), verb)("bat_1")
        assert len(server.requests) == 1


def test_a_retry_of_a_running_batch_is_refused_at_once() -> None:
    server = Server(problem(409, "illegal_transition"))
    with pytest.raises(Conflict):
        server.client().retry("bat_1")
    assert len(server.requests) == 1


def test_it_may_be_told_not_to_try_again() -> None:
    server = Server(problem(503))
    with pytest.raises(ServiceUnavailable):
        server.client(retry_for_s=0).get("bat_1")
    assert len(server.requests) == 1


@pytest.mark.parametrize("results", [0, 1, 2, 3, 7, 8])
@pytest.mark.parametrize("per_page", [1, 3, 1000])
def test_results_come_once_each_whatever_breaks_off(
    results: int, per_page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "RESULTS_PER_PAGE", per_page)
    server = Server(None, httpx.ReadError("reset"), problem(503), results=results)
    server.breaks_off = 2
    found = server.client().results("bat_1")
    assert [result.custom_id for result in found] == [f"j{n}" for n in range(results)]
    assert server.breaks_off in {0, 2 - results} or results < 2
    assert found.cursor == str(results)


async def test_asyncio_reads_them_once_each_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RESULTS_PER_PAGE", 3)
    server = Server(None, httpx.ReadError("reset"), problem(503), results=8)
    server.breaks_off = 2
    found = server.async_client().results("bat_1")
    assert [result.custom_id async for result in found] == [f"j{n}" for n in range(8)]
    assert server.breaks_off == 0


def test_a_reader_goes_on_where_another_has_stopped() -> None:
    server = Server(results=6)
    client = server.client()
    first = client.results("bat_1")
    taken = [next(first).custom_id for _ in range(3)]
    rest = [result.custom_id for result in client.results("bat_1", after=first.cursor)]
    assert taken + rest == [f"j{n}" for n in range(6)]


def test_without_following_it_ends_with_what_is_there() -> None:
    server = Server(results=6)
    server.arrived = 2
    assert len(list(server.client().results("bat_1", follow=False))) == 2
    assert len(server.requests) == 1


def test_bad_lines_are_told_with_line_field_and_what_helps() -> None:
    rows = [{"line": 3, "field": "prompt", "code": "nul_character", "message": "has a NUL"}]
    refusal = problem(400, "invalid_jobs", errors=rows, error_count=12)
    with pytest.raises(InvalidSubmission) as caught:
        Server(refusal).client().submit(JOBS)
    error = caught.value
    assert (error.code, error.status, error.line, error.field) == ("invalid_jobs", 400, 3, "prompt")
    assert error.fault_count == 12
    assert str(error) == f"{error.message} (line 3, prompt: has a NUL)"
    assert error.fix == "leave it out: not every database can store one"


def test_a_bad_parameter_has_a_field_and_no_line() -> None:
    rows = [{"field": "colour", "code": "unknown_parameter", "message": "not permitted"}]
    with pytest.raises(SubmissionError) as caught:
        Server(problem(400, "invalid_parameter", errors=rows)).client().quote(JOBS)
    assert type(caught.value) is SubmissionError
    assert (caught.value.line, caught.value.field) == (None, "colour")


def test_what_is_not_tidemill_is_not_taken_for_it() -> None:
    for content in (b"<html>", b"[]", b'{"id": 5}'):
        with pytest.raises(ServiceUnavailable, match="is not Tidemill"):
            Server(httpx.Response(200, content=content)).client().get("b")
    with pytest.raises(ServiceUnavailable, match="is not Tidemill"):
        list(Server(httpx.Response(200, content=b"<html>\n")).client().results("b"))


def test_a_wait_ends_in_time_and_says_how_far_the_batch_is() -> None:
    answers = [httpx.Response(200, json=batch(succeeded=4)) for _ in range(1000)]
    with pytest.raises(
        TimeoutError, match=r"bat_1 is running, with 4 of 10 jobs done, after 0\.05 s"
    ):
        Server(*answers).client().wait("bat_1", timeout_s=0.05)


def test_a_wait_goes_through_an_outage_longer_than_a_request_would() -> None:
    outage = [problem(503) for _ in range(50)]
    ended = httpx.Response(200, json=batch("completed"))
    assert Server(*outage, ended).client(retry_for_s=0).wait("bat_1").is_final


def test_a_bar_is_shown_to_who_wants_one(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        httpx.Response(200, json=batch(state, succeeded=succeeded))
        for state, succeeded in (("running", 4), ("completed", 10))
    ]
    Server(*answers).client().wait("bat_1", progress=True)
    shown = capsys.readouterr().err
    assert "running:  40%" in shown
    assert "completed: 100%" in shown
    Server(httpx.Response(200, json=batch("completed"))).client().wait("bat_1")
    assert capsys.readouterr().err == ""


def test_address_and_key_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("TIDEMILL_HOME", str(tmp_path))
    (tmp_path / "api-key").write_text("tm_of_home\n")
    assert Tidemill()._http.headers["authorization"] == "Bearer tm_of_home"
    monkeypatch.setenv("TIDEMILL_API_KEY", "tm_of_variable")
    monkeypatch.setenv("TIDEMILL_URL", "http://10.0.0.9:1")
    client = Tidemill()
    assert client._http.headers["authorization"] == "Bearer tm_of_variable"
    assert client._http.base_url == "http://10.0.0.9:1"


def test_a_wrong_key_is_not_tried_again() -> None:
    server = Server(problem(401, "unauthorised"))
    with pytest.raises(NotAuthorised) as caught:
        server.client().get("b")
    assert caught.value.code == "unauthorised"
    assert len(server.requests) == 1


async def test_jobs_that_are_waited_for_are_sent_and_sent_again() -> None:
    async def jobs() -> AsyncIterator[dict[str, str]]:
        for job in JOBS:
            yield job

    server = Server(problem(503), httpx.ConnectError("refused"))
    async with server.async_client() as client:
        assert (await client.submit(jobs(), model="m")).id == "bat_1"
    assert server.bodies == [SENT] * 3
    assert {request.headers["content-length"] for request in server.requests} == {str(len(SENT))}
    assert len(server.keys) == 1


async def test_nothing_is_sent_where_fetching_a_job_fails() -> None:
    async def jobs() -> AsyncIterator[dict[str, str]]:
        yield JOBS[0]
        raise LookupError("no more rows")

    server = Server()
    async with server.async_client() as client:
        with pytest.raises(LookupError):
            await client.submit(jobs(), model="m")
    assert server.requests == []
