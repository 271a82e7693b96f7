"""Translations over HTTP: a batch's defaults in the query, and what is refused of them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from jobs.configuration import Configuration
from jobs.settings import Settings
from jobs.store import Database
from jobs.store.projects import create_key, ensure_project

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
async def client(database: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    with database.write() as session:
        key = create_key(session, ensure_project(session, "default"))
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(home=tmp_path, database_url=url, broker_url="redis://127.0.0.1:9")
    app = create_app(settings, CONFIGURATION)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://tidemill", headers={"x-api-key": key}
        ) as client:
            yield client


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
