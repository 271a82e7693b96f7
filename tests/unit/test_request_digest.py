"""What makes two submissions the same request."""

import pytest
from starlette.requests import Request
from starlette.types import Message

from api.intake.idempotency import Body
from jobs.errors import BodyTooLarge


async def digest(query: str, *parts: bytes, max_bytes: int = 100) -> bytes:
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    messages.append({"type": "http.request", "body": b""})

    async def receive() -> Message:
        return messages.pop(0)

    request = Request({"type": "http", "query_string": query.encode(), "headers": []}, receive)
    body = Body(request, is_digested=True)
    await body.drain(max_bytes)
    found = body.digest()
    assert found is not None
    return found


async def test_neither_the_order_of_parameters_nor_the_cut_of_packets_makes_another_request() -> (
    None
):
    same = await digest("name=a&model=b", b"one", b"two")
    assert await digest("model=b&name=a", b"onetwo") == same


async def test_what_differs_in_query_or_body_is_another_request() -> None:
    requests = [
        ("name=a", b"b"),
        ("name=ab", b""),
        ("", b"name=a\nb"),
        ("name=a%0Ab", b""),
        ("name=a%26b=", b""),
        ("name=a&b=", b""),
    ]
    assert len({await digest(*request) for request in requests}) == len(requests)


async def test_a_body_is_not_read_beyond_what_could_have_been_accepted() -> None:
    assert await digest("", b"one", b"two", max_bytes=6)
    with pytest.raises(BodyTooLarge, match="more than 5 bytes"):
        await digest("", b"one", b"two", b"and so on for ever", max_bytes=5)
