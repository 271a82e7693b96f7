"""Who may send a provider's account, of whom, how large it may be, and where it is kept meanwhile."""

import tempfile
from collections.abc import Collection
from types import SimpleNamespace

import httpx
import orjson
import pytest

from jobs.exchange import Usage
from jobs.scopes import Scope
from jobs.store import Database
from jobs.store.projects import create_key, ensure_project
from tests.support.rows import batch_of
from tests.support.stories import Call, Story, call_of


def body(calls: Collection[Call]) -> bytes:
    return b"".join(orjson.dumps(call) + b"\n" for call in calls)


async def send(
    client: httpx.AsyncClient, story: Story, *, key: str | None = None, **query: str
) -> httpx.Response:
    headers = {} if key is None else {"x-api-key": key}
    path = f"/api/batches/{story.ref}/reconciliation"
    return await client.post(path, params=query, content=body(story.account), headers=headers)


def key_with(database: Database, *scopes: Scope) -> str:
    with database.write() as session:
        return create_key(session, ensure_project(session, "default"), scopes=set(scopes))


@pytest.fixture
def story(database: Database) -> Story:
    """One lost call that the provider has billed."""
    story = Story(database, jobs=1)
    story.lose(0, Usage(10))
    return story


async def test_comparing_is_reading_and_only_correcting_needs_an_admin_key(
    client: httpx.AsyncClient, database: Database, story: Story
) -> None:
    reader = key_with(database, Scope.READ)

    compared = await send(client, story, key=reader)
    refused = await send(client, story, key=reader, apply="true")

    assert compared.json()["account"]["learned"]["attempts"] == 1
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert refused.headers["www-authenticate"].endswith('scope="admin"')
    assert batch_of(database, story.ref).unknown_attempts == 1
    alone = await send(client, story, key=key_with(database, Scope.ADMIN), apply="true")
    assert alone.status_code == 403
    both = key_with(database, Scope.READ, Scope.ADMIN)
    applied = await send(client, story, key=both, apply="true")
    assert applied.raise_for_status().json()["account"]["corrected"] == 1


async def test_an_account_of_a_provider_that_nobody_knows_is_refused_by_name(
    client: httpx.AsyncClient, database: Database, story: Story
) -> None:
    for name in ("simm", "SIM", "", "x\ny"):
        reply = await send(client, story, provider=name, apply="true")
        assert (reply.status_code, reply.json()["code"]) == (400, "invalid_parameter")
        assert reply.json()["detail"] == f"provider: expected sim; got {name!r}"
    assert batch_of(database, story.ref).unknown_attempts == 1
    assert (await send(client, story, provider="sim")).json()["account"]["learned"]["attempts"] == 1


@pytest.mark.parametrize("name", ["MAX_CALLS_PER_JOB", "MAX_CALLS_PER_FILE"])
async def test_more_calls_for_a_job_than_can_be_compared_are_refused_and_nothing_is_booked(
    client: httpx.AsyncClient,
    database: Database,
    story: Story,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"jobs.account_files.{name}", 3)
    story.account *= 3
    assert (await send(client, story)).status_code == 200
    story.account.append(call_of(0, Usage(1)))
    reply = await send(client, story, apply="true")
    assert (reply.status_code, reply.json()["code"]) == (413, "submission_too_large")
    assert "more than 3 billed calls for" in reply.json()["detail"]
    assert "'job-0'" in reply.json()["detail"]
    assert batch_of(database, story.ref).unknown_attempts == 1


async def test_an_account_is_kept_in_the_home_and_not_in_the_systems_folder(
    client: httpx.AsyncClient, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may be a piece of the memory, as in the containers of docker-compose.yml."""
    monkeypatch.setattr("jobs.account_files.IN_MEMORY_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", "/there/is/no/such/folder")
    reply = await send(client, story)
    assert reply.raise_for_status().json()["account"]["learned"]["attempts"] == 1


async def test_an_account_leaves_the_disk_to_jobs_that_run(
    client: httpx.AsyncClient, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimpleNamespace(total=1 << 40, free=100 << 20)
    monkeypatch.setattr("jobs.account_files.shutil.disk_usage", lambda _folder: disk)
    reply = await send(client, story)
    assert (reply.status_code, reply.json()["code"]) == (507, "storage_full")
    assert "100 MB are free" in reply.json()["detail"]
