"""Following a batch: to its end, through outages, with the right exit status."""

from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from jobs.errors import NotFound
from scripts.command.client import Client
from scripts.command.ending import ExitStatus
from scripts.command.progress import PLAIN_LINE_EVERY_S, Standing
from scripts.command.watch import LONGEST_PAUSE_S, LOOK_EVERY_S, ending_of, follow
from scripts.command.watch_many import watch_many

ENDINGS = ("succeeded", "failed", "cancelled", "expired")


def batch(
    state: str, ended: dict[str, int] | None = None, *, waiting_for: str | None = None
) -> dict[str, Any]:
    counts = dict.fromkeys(ENDINGS, 0) | (ended or {})
    usage = dict.fromkeys(
        ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens"), 1
    )
    return {
        "id": "bat_1",
        "state": state,
        "counts": {"total": 10, **counts, "running": 0, "waiting": 0},
        "usage": usage | {"reasoning_tokens": 0},
        "cost_usd": "0.000000100",
        "unpriced_jobs": 0,
        "waiting_for": waiting_for,
    }


class Shown:
    def __init__(self) -> None:
        self.standings: list[Standing] = []
        self.notes: list[str] = []

    def show(self, standing: Standing, jobs_per_s: float | None) -> None:
        del jobs_per_s
        self.standings.append(standing)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Server:
    """Gives one answer after the other; an exception is raised, a number is a status."""

    def __init__(self, answers: Iterable[dict[str, Any] | Exception | int]) -> None:
        self._answers = iter(answers)

    def __call__(self, _request: httpx.Request) -> httpx.Response:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return httpx.Response(answer, json={"detail": f"status {answer}"})
        return httpx.Response(200, json=answer)


def followed(
    *answers: dict[str, Any] | Exception | int,
) -> tuple[dict[str, Any], Shown, list[float]]:
    transport = httpx.MockTransport(Server(answers))
    client = Client(httpx.Client(base_url="http://tide.test", transport=transport))
    shown, pauses = Shown(), list[float]()
    ended = follow(client, "bat_1", shown, clock=lambda: sum(pauses), sleep=pauses.append)
    return ended, shown, pauses


@pytest.mark.parametrize("final", ["completed", "failed", "cancelled", "expired"])
def test_a_batch_is_followed_until_it_has_ended(final: str) -> None:
    ended, shown, pauses = followed(
        batch("queued"), batch("running", {"succeeded": 4}), batch("finalizing"), batch(final)
    )
    assert ended["state"] == final
    assert [standing.state for standing in shown.standings] == [
        "queued",
        "running",
        "finalizing",
        final,
    ]
    assert pauses == [LOOK_EVERY_S] * 3
    assert shown.notes == []


def test_an_outage_is_noted_once_and_waited_for_with_growing_pauses() -> None:
    refused = httpx.ConnectError("refused")
    outage: list[Exception | int] = [refused, 503, httpx.ReadTimeout("slow"), refused, refused]
    ended, shown, pauses = followed(batch("running"), *outage, batch("completed"))
    assert ended["state"] == "completed"
    assert len(shown.notes) == 2
    assert "no server answers" in shown.notes[0]
    assert shown.notes[1] == "the server is back"
    assert pauses[1:] == [1.0, 2.0, 4.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_a_second_outage_is_noted_again() -> None:
    refused = httpx.ConnectError("refused")
    _, shown, _ = followed(refused, batch("running"), refused, batch("completed"))
    assert len(shown.notes) == 4


def test_a_batch_that_is_not_there_ends_the_watch() -> None:
    with pytest.raises(NotFound):
        followed(batch("running"), 404)


def test_the_reason_for_waiting_is_said_when_it_changes() -> None:
    _, shown, _ = followed(
        batch("running", waiting_for="the limit of pool main"),
        batch("running", waiting_for="the limit of pool main"),
        batch("paused", waiting_for="paused by its owner"),
        batch("running"),
        batch("running", waiting_for="paused by its owner"),
        batch("completed"),
    )
    assert [note for note in shown.notes if note.startswith("waiting")] == [
        "waiting for: the limit of pool main",
        "waiting for: paused by its owner",
        "waiting for: paused by its owner",
    ]


def test_at_a_terminal_a_paused_batch_is_watched_on_and_the_way_on_is_said_once() -> None:
    by_owner = batch("paused", waiting_for="paused by its owner")
    ended, shown, _ = followed(by_owner, by_owner, by_owner, batch("completed"))
    assert ended["state"] == "completed"
    (said,) = [note for note in shown.notes if "tidemill resume bat_1" in note]
    assert "budget" not in said


@pytest.mark.parametrize(
    ("state", "ended", "status"),
    [
        ("completed", {"succeeded": 10}, ExitStatus.OK),
        ("completed", {"succeeded": 9, "failed": 1}, ExitStatus.BATCH_FAILED),
        ("completed", {"succeeded": 9, "expired": 1}, ExitStatus.BATCH_FAILED),
        ("cancelled", {"succeeded": 9, "cancelled": 1}, ExitStatus.BATCH_FAILED),
        ("expired", {"expired": 10}, ExitStatus.BATCH_FAILED),
        ("failed", {}, ExitStatus.BATCH_FAILED),
    ],
)
def test_only_a_batch_whose_every_job_succeeded_ends_well(
    state: str, ended: dict[str, int], status: ExitStatus
) -> None:
    assert ending_of(batch(state, ended)) == status


def test_many_batches_are_watched_until_all_that_are_named_have_ended() -> None:
    looks = iter([batch("running"), batch("completed"), batch("completed"), batch("failed")])

    def answer(request: httpx.Request) -> httpx.Response:
        is_pools = request.url.path == "/api/pools"
        batch_id = request.url.path.rpartition("/")[2]
        return httpx.Response(
            200, json={"data": []} if is_pools else next(looks) | {"id": batch_id}
        )

    pauses: list[float] = []
    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://test")
    with Client(http) as client:
        board = watch_many(client, ["bat_1", "bat_2"], is_quiet=True, sleep=pauses.append)
    assert [each["state"] for each in board.batches] == ["completed", "failed"]
    assert pauses == [PLAIN_LINE_EVERY_S]
