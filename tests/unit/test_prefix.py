"""What requests begin with in common."""

import pytest

from jobs.exchange import Message, ModelRequest
from workers.prompt_caching.prefix import prefix_of

LONG = "You write about numbers. Be brief, be right, and never repeat yourself. " * 100


def request(
    system: str | None = LONG, prompt: str = "Why?", schema: dict[str, str] | None = None
) -> ModelRequest:
    return ModelRequest((Message("user", prompt),), max_tokens=10, system=system, schema=schema)


def test_what_comes_after_it_makes_no_difference() -> None:
    prefix = prefix_of(request())
    assert prefix is not None
    assert prefix == prefix_of(request(prompt="How?"))
    assert 1200 < prefix.tokens < 2500


@pytest.mark.parametrize(
    "other", [request(f"{LONG}!"), request(f"!{LONG}"), request(schema={"type": "object"})]
)
def test_another_beginning_is_another_prefix(other: ModelRequest) -> None:
    assert prefix_of(other) != prefix_of(request())


@pytest.mark.parametrize(
    "short", [request(None), request("Be brief."), request(None, prompt=LONG), request("a" * 1024)]
)
def test_what_no_cache_holds_is_no_prefix(short: ModelRequest) -> None:
    assert prefix_of(short) is None


def test_the_head_of_the_first_message_belongs_to_it() -> None:
    one, other = request("Be brief.", f"{LONG}Why?"), request("Be brief.", f"{LONG}How?")
    prefix = prefix_of(one, len(LONG))
    assert prefix is not None
    assert prefix.head_characters == len(LONG)
    assert prefix == prefix_of(other, len(LONG))
    assert prefix != prefix_of(request("Be exact.", f"{LONG}Why?"), len(LONG))
    assert prefix != prefix_of(one, len(LONG) + 1)


def test_where_the_system_text_ends_matters() -> None:
    assert prefix_of(request(f"{LONG}a", "b"), 1) != prefix_of(request(LONG, "ab"), 2)
