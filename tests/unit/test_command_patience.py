"""Whether, how long and how visibly a submission is sent again."""

import re
import time
from collections.abc import Callable

import httpx
import pytest

from jobs.errors import TidemillError
from scripts.command.client import Client
from scripts.command.patience import persist
from tidemill.patience import LONGEST_WISH_S
from tidemill.upload import Upload, describe

ACCEPTED = httpx.Response(202, json={"id": "bat_1"})


def reply(status: int, **headers: str) -> httpx.Response:
    problem = {"code": "some_code", "detail": f"The answer was {status}."}
    return httpx.Response(status, json=problem, headers={"retry-after": "0", **headers})


class Server:
    """Gives prepared answers, the last for ever; time passes only while somebody waits."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, bytes]] = []
        self.pauses_s: list[float] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append((request.headers["idempotency-key"], request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def submit(self, *, retry_for_s: float = 60.0, is_quiet: bool = False) -> object:
        upload = Upload(lambda: iter([b"one\n", b"two\n"]), describe(""), None)
        transport = httpx.MockTransport(self.answer)
        with Client(httpx.Client(base_url="http://tide.test", transport=transport)) as client:
            attempt: Callable[[], object] = lambda: client.submit(upload, {}, "a-key")  # noqa: E731
            return persist(attempt, retry_for_s=retry_for_s, is_quiet=is_quiet)


@pytest.fixture(autouse=True)
def pauses_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("cut off"),
        reply(409),
        reply(502),
        reply(503),
        reply(504),
    ],
    ids=lambda trouble: getattr(trouble, "status_code", type(trouble).__name__),
)
def test_what_may_pass_is_tried_again_from_the_start_with_the_same_key(
    trouble: httpx.Response | Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(trouble, trouble, ACCEPTED)
    assert server.submit() == {"id": "bat_1"}
    assert server.requests == [("a-key", b"one\ntwo\n")] * 3
    (told,) = capsys.readouterr().err.splitlines()
    assert re.search(r"[^.]; trying again, for up to 60 s$", told)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 415, 422, 429, 500])
def test_what_stays_as_it_is_is_not_tried_again(
    status: int, pauses_s: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(reply(status), ACCEPTED)
    with pytest.raises(TidemillError, match=f"The answer was {status}"):
        server.submit()
    assert (len(server.requests), pauses_s, capsys.readouterr().err) == (1, [], "")


def test_an_answer_of_somebody_else_is_not_tried_again() -> None:
    server = Server(httpx.Response(200, text="<html>"), ACCEPTED)
    with pytest.raises(TidemillError, match="is not Tidemill"):
        server.submit()


def test_it_gives_up_in_time_with_the_last_reason(
    pauses_s: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(httpx.ReadError("reset"), httpx.ConnectError("refused"))
    with pytest.raises(TidemillError, match="no server answers"):
        server.submit(retry_for_s=30.0)
    assert 20.0 < sum(pauses_s) <= 30.0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2  # one for each reason, not for each attempt
    assert "was lost" in told[0]
    assert "no server answers" in told[1]


def test_it_may_be_told_not_to_try_again(pauses_s: list[float]) -> None:
    server = Server(httpx.ConnectError("refused"))
    with pytest.raises(TidemillError):
        server.submit(retry_for_s=0.0)
    assert (len(server.requests), pauses_s) == (1, [])


def test_a_program_that_reads_along_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert Server(reply(503), ACCEPTED).submit(is_quiet=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("wish", "least_s", "most_s"),
    [
        ("9", 9.0, 9.0),
        ("86400", LONGEST_WISH_S, LONGEST_WISH_S),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.5, 1.0),
        ("-1", 0.5, 1.0),
    ],
)
def test_the_servers_wish_is_heard_within_reason(
    wish: str, least_s: float, most_s: float, pauses_s: list[float]
) -> None:
    Server(reply(503, **{"retry-after": wish}), ACCEPTED).submit()
    (pause_s,) = pauses_s
    assert least_s <= pause_s <= most_s
