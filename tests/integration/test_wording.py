"""What people read about a submission that can't be taken: sentences, without our program's words."""

import httpx
import pytest

JOB = b'{"custom_id":"a1","model":"m","prompt":"x"}\n'


async def refusal(
    client: httpx.AsyncClient, body: bytes = JOB, query: dict[str, str] | None = None
) -> str:
    reply = await client.post("/api/batches", content=body, params=query)
    assert reply.status_code == 400
    detail: str = reply.json()["detail"]
    return detail


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"max_cost_usd": "abc"}, "max_cost_usd: 'abc' is not a decimal number of dollars"),
        ({"name": "a\nb"}, "name: expected a name without control or format characters"),
    ],
)
async def test_a_wrong_parameter_is_told_in_a_sentence(
    client: httpx.AsyncClient, query: dict[str, str], sentence: str
) -> None:
    assert await refusal(client, query=query) == sentence


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{}\n", "the only line is not a valid job; nothing was accepted"),
        (b"\n{}\n", "1 of 2 lines is not a valid job; nothing was accepted"),
        (b"{}\n{}\n{}\n", "3 of 3 lines are not valid jobs; nothing was accepted"),
    ],
)
async def test_bad_lines_are_counted_in_a_sentence(
    client: httpx.AsyncClient, body: bytes, sentence: str
) -> None:
    assert await refusal(client, body) == sentence


async def test_where_no_provider_is_configured_that_is_what_is_said_of_a_model(
    client: httpx.AsyncClient,
) -> None:
    reply = await client.post("/api/batches", content=JOB)
    (fault,) = reply.json()["errors"]
    assert "no provider is configured at all" in fault["message"]
    assert "tidemill.toml" in fault["message"]
