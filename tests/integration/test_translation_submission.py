"""Translations over HTTP: a batch's defaults in the query, and what is refused of them."""

import json

import httpx
import pytest

from jobs.configuration import Configuration

CONFIGURATION = Configuration.model_validate(
    {
        "providers": {
            "sim": {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "models": ["s-*"]}
        }
    }
)
DEFAULTS = {
    "kind": "translation",
    "model": "s-1",
    "target": "fr",
    "source": "en",
    "format": "markdown",
    "glossary": '{"mill": "moulin"}',
    "examples": '{"Hello.": "Bonjour."}',
    "tone": "formal",
    "part_tokens": "200",
}


@pytest.fixture
def configuration() -> Configuration:
    return CONFIGURATION


async def submit(
    client: httpx.AsyncClient, query: dict[str, str], *lines: dict[str, object]
) -> httpx.Response:
    body = "\n".join(map(json.dumps, lines))
    return await client.post(
        "/api/batches",
        params=query,
        content=body,
        headers={"content-type": "application/x-ndjson"},
    )


async def test_translations_are_taken_with_their_batchs_defaults(client: httpx.AsyncClient) -> None:
    reply = await submit(
        client,
        DEFAULTS,
        {"custom_id": "a", "text": "# The mill\n\nIt grinds."},
        {"custom_id": "b", "text": '{"a": "Hello"}', "format": "json", "target": "pt-BR"},
        {"custom_id": "c", "kind": "generation", "prompt": "Hello"},
    )
    assert reply.status_code == 202, reply.text
    assert reply.json()["counts"]["total"] == 3


async def test_a_bad_line_of_a_translation_is_named(client: httpx.AsyncClient) -> None:
    reply = await submit(
        client, DEFAULTS, {"custom_id": "a", "text": "x", "target": "french", "prompt": "x"}
    )
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["field"] == "prompt"


@pytest.mark.parametrize(
    ("field", "text"),
    [("target", "french"), ("format", "pdf"), ("glossary", "[]"), ("part_tokens", "1e9")],
)
async def test_a_default_of_a_translation_that_can_not_be_is_named(
    client: httpx.AsyncClient, field: str, text: str
) -> None:
    reply = await submit(client, DEFAULTS | {field: text}, {"custom_id": "a", "text": "x"})
    assert reply.status_code == 400
    assert reply.json()["code"] == "invalid_parameter"
    assert f"`{field}`" in reply.json()["detail"]
