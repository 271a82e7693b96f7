"""What an API process keeps in memory for its callers stays bounded."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from api.access.known_keys import GUESSES, Guesses
from api.services import Services


class HungFeeder:
    def __init__(self) -> None:
        self.begun, self.released = Event(), Event()
        self.fed: list[str] = []

    def feed(self, queue: str) -> bool:
        self.fed.append(queue)
        self.begun.set()
        return self.released.wait(10)


def test_a_queue_that_waits_to_be_fed_is_not_queued_again() -> None:
    feeder, nothing = HungFeeder(), [None] * 7
    with ThreadPoolExecutor(1) as thread:
        parts: list[Any] = [*nothing, feeder, thread]
        services = Services(*parts)
        services.feed(("first",))
        assert feeder.begun.wait(10)
        for _ in range(100):
            services.feed(("first", "second"))
        feeder.released.set()
    assert feeder.fed == ["first", "first", "second"]


def test_a_flood_of_addresses_lets_only_the_oldest_guess_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.access.known_keys.REMEMBERED_SOURCES", 3)
    guesses = Guesses()
    for source in ("old", "guesser", "other"):
        for _ in range(GUESSES):
            guesses.count(source)
    guesses.count("new")
    assert guesses.wait_s("old") == 0
    assert guesses.wait_s("guesser") > 0
