"""What is told of a provider's error to others than the owner of the job."""

import pytest

from jobs.errors import Overloaded, QuotaExhausted
from jobs.exchange import Message, ModelRequest
from workers.calls.echoes import SEARCHED_CHARACTERS, without_echo

SPOKEN = "The passage of the harbour master is 'ebb and flow 1871'."
REQUEST = ModelRequest((Message("user", SPOKEN),), 10, system='You are "terse", and a pilot.')


@pytest.mark.parametrize(
    "message",
    [
        f"no room for: {SPOKEN}",
        "bad request {'messages': [{'role': 'user', 'content': 'The passage of the harb",
        'upstream: {"content":"THE PASSAGE OF THE HARBOUR"}',
        "cut: of the harbour master is",
        'you are \\"terse\\", and a pil',
        "the  passage\\nof the harbour",
        "\\u0054he \\u0070assword",
    ],
)
def test_what_repeats_the_request_is_not_told(message: str) -> None:
    error = without_echo(
        Overloaded(f"HTTP 503: {message}", status=503, wait_s=3.0, headers={"a": "b"}), REQUEST
    )
    assert error.message == "HTTP 503"
    assert isinstance(error, Overloaded)
    assert (error.status, error.wait_s, error.headers) == (503, 3.0, {"a": "b"})


@pytest.mark.parametrize(
    "message", ["HTTP 402: Your credit balance is too low.", "HTTP 402: the quota is used up"]
)
def test_the_providers_own_words_are_told(message: str) -> None:
    error = QuotaExhausted(message, status=402)
    assert without_echo(error, REQUEST) is error


def test_a_short_text_is_found_as_well() -> None:
    request = ModelRequest((Message("user", "pin 1234"),), 10)
    assert without_echo(Overloaded("no: pin 1234!", status=503), request).message == "HTTP 503"


def test_of_a_huge_request_nothing_is_believed() -> None:
    request = ModelRequest((Message("user", "x" * (SEARCHED_CHARACTERS + 1)),), 10)
    assert without_echo(Overloaded("busy", status=503), request).message == "HTTP 503"


def test_without_a_status_the_kind_of_error_is_told() -> None:
    told = without_echo(Overloaded(SPOKEN), REQUEST).message
    assert told == "The provider, or the model, is overloaded for everybody."
