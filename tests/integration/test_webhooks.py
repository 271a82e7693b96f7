"""What becomes of batches is told to whom a project names: signed, at least once, and to no private place."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from sqlalchemy import update
from sqlmodel import select
from standardwebhooks import Webhook as Receiver

from jobs.exchange import Usage
from jobs.states import BatchState
from jobs.store import Database, now, webhooks
from jobs.store.batches import batches
from jobs.store.money import budgets
from jobs.store.projects import ensure_project
from jobs.tables import Batch, ProjectBudget, SpendDay, Webhook, WebhookMessage
from jobs.webhooks import MOST_PER_PROJECT, RETRY_AFTER
from tests.support.eventually import eventually
from tests.support.rows import batch_of, seed_batch
from tests.support.stories import Story
from workers.clock.courier import Courier


class Inbox(ThreadingHTTPServer):
    """Takes messages, and answers as it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.taken: list[tuple[dict[str, str], str]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks"

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.taken]

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.told]


class Taker(BaseHTTPRequestHandler):
    """One message."""

    def do_POST(self) -> None:
        inbox = self.server
        assert isinstance(inbox, Inbox)
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        inbox.taken.append((dict(self.headers.items()), body))
        self.send_response(inbox.status)
        if inbox.status == 302:
            self.send_header("location", inbox.url)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as inbox:
        thread = threading.Thread(target=inbox.serve_forever)
        thread.start()
        yield inbox
        inbox.shutdown()
        thread.join()


@pytest.fixture
def courier(database: Database) -> Courier:
    return Courier(database, to_private=True)


def listen(database: Database, url: str, project: str = "default") -> Webhook:
    with database.write() as session:
        return webhooks.create(session, ensure_project(session, project), url)


def bring_near(database: Database) -> None:
    with database.write() as session:
        moment = now(session) - timedelta(seconds=1)
        session.connection().execute(update(WebhookMessage).values(due_at=moment))


def messages(database: Database) -> list[WebhookMessage]:
    with database.read() as session:
        return list(session.exec(select(WebhookMessage).order_by("id")))


def trouble(database: Database) -> str | None:
    with database.read() as session:
        return session.exec(select(Webhook.trouble)).one()


def test_every_state_is_told_once_to_its_own_project_in_order(
    database: Database, inbox: Inbox, courier: Courier
) -> None:
    seed_batch(database)  # before anybody listens
    webhook = listen(database, inbox.url)
    listen(database, inbox.url + "/other", project="other")
    courier.round()
    assert inbox.taken == []
    story = Story(database, jobs=1)
    courier.round()
    story.answer(0, Usage(input_tokens=3, output_tokens=2))
    with database.write() as session:
        batches.move(session, 1, story.ref, BatchState.PAUSED)
    courier.round()
    story.end()
    courier.round()
    courier.round()
    assert inbox.kinds == ["batch.running", "batch.paused", "batch.completed"]
    data = inbox.told[-1]["data"]
    assert (data["id"], data["succeeded"], data["spent_usd"]) == (story.ref, 1, "0.000000007")
    headers, body = inbox.taken[-1]
    Receiver(webhook.secret).verify(body, headers)
    assert len({headers["webhook-id"] for headers, _ in inbox.taken}) == 3


def test_what_was_not_taken_is_tried_again_as_the_same_message(
    database: Database, inbox: Inbox, courier: Courier
) -> None:
    listen(database, inbox.url)
    seed_batch(database)
    for status in (500, 302, 429):
        inbox.status = status
        courier.round()
        assert trouble(database) == f"HTTP {status}"
        courier.round()  # it is not due yet
        bring_near(database)
    inbox.status = 204
    courier.round()
    bring_near(database)
    courier.round()
    assert [headers["webhook-id"] for headers, _ in inbox.taken] == [messages(database)[0].ref] * 4
    assert trouble(database) is None


def test_a_message_is_given_up_after_its_last_try(
    database: Database, inbox: Inbox, courier: Courier
) -> None:
    listen(database, inbox.url)
    seed_batch(database)
    inbox.status = 503
    for _ in range(len(RETRY_AFTER) + 5):
        courier.round()
        bring_near(database)
    assert len(inbox.taken) == len(RETRY_AFTER) + 1
    assert messages(database)[0].ended_at is not None


def test_who_says_that_it_is_gone_is_told_nothing_more(
    database: Database, inbox: Inbox, courier: Courier
) -> None:
    listen(database, inbox.url)
    seed_batch(database)
    inbox.status = 410
    courier.round()
    seed_batch(database)
    courier.round()
    assert len(inbox.taken) == 1
    inbox.status = 200
    listen(database, inbox.url)  # begins anew, and hears nothing of the past
    courier.round()
    assert len(inbox.taken) == 1


def test_a_message_whose_courier_died_is_brought_by_the_next(
    database: Database, inbox: Inbox, courier: Courier
) -> None:
    listen(database, inbox.url)
    seed_batch(database)
    with database.write() as session:
        webhooks.write_messages(session)
    with database.write() as session:
        assert len(webhooks.take_due(session)) == 1
    courier.round()
    assert inbox.taken == [], "somebody else is at it"
    bring_near(database)
    courier.round()
    assert inbox.kinds == ["batch.queued"]


def test_a_webhook_with_many_messages_lets_those_of_others_pass(database: Database) -> None:
    crowded = listen(database, "https://crowded.test/", project="other")
    quiet = listen(database, "https://quiet.test/")
    with database.write() as session:
        for index, webhook in enumerate([crowded] * (2 * webhooks.ROWS_PER_ROUND) + [quiet]):
            moment = now(session) - timedelta(seconds=1)
            assert webhook.id is not None
            session.add(
                WebhookMessage(ref=f"msg_{index}", webhook_id=webhook.id, body="{}", due_at=moment)
            )
    with database.write() as session:
        urls = [message.url for message in webhooks.take_due(session)]
    assert urls[:2] == [crowded.url, quiet.url]
    assert len(urls) == 1 + webhooks.MOST_OF_ONE
    with database.write() as session:
        urls = [message.url for message in webhooks.take_due(session)]
    assert urls == [crowded.url] * webhooks.MOST_OF_ONE


def test_names_that_nobody_answers_for_hold_up_no_other_receiver(
    database: Database, inbox: Inbox, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a name may let its server be silent: each look holds a thread as long as that likes."""
    is_over, resolve = threading.Event(), socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **more: Any) -> Any:
        if not str(host).endswith(".test"):
            return resolve(host, *arguments, **more)
        is_over.wait(60)
        raise OSError("nobody answers")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for index in range(MOST_PER_PROJECT):
        listen(database, f"https://silent-{index}.test/", project="other")
    listen(database, inbox.url.replace("127.0.0.1", "localhost"))
    seed_batch(database, project="other")
    seed_batch(database)
    round_ = threading.Thread(target=courier.round)
    round_.start()
    try:
        eventually(lambda: inbox.kinds, what="a message at the receiver that answers")
    finally:
        is_over.set()
        round_.join()
    assert [message.ended_at is not None for message in messages(database)].count(True) == 1


def test_a_budgets_thresholds_are_told_once_each_and_again_when_it_was_raised(
    database: Database, inbox: Inbox, courier: Courier
) -> None:
    listen(database, inbox.url)
    ref = seed_batch(database, max_cost_nanos=1000)
    courier.round()
    inbox.taken.clear()

    def spend(nanos: int, cap: int = 1000) -> list[int]:
        inbox.taken.clear()
        with database.write() as session:
            changes = update(Batch).where(Batch.ref == ref)  # type: ignore[arg-type]
            session.connection().execute(changes.values(spent_nanos=nanos, max_cost_nanos=cap))
        courier.round()
        assert set(inbox.kinds) <= {"batch.budget"}
        return [message["data"]["percent"] for message in inbox.told]

    assert [spend(nanos) for nanos in (499, 500, 790, 800, 990, 1000)] == [
        [],
        [50],
        [],
        [80],
        [],
        [100],
    ]
    assert spend(1000, cap=2500) == []
    assert batch_of(database, ref).told_percent == 0
    assert spend(1300, cap=2500) == [50]


def test_thresholds_of_a_projects_caps_are_told_once_a_day_and_again_after_a_raise(
    database: Database, inbox: Inbox, courier: Courier
) -> None:
    listen(database, inbox.url)
    project_id = 1

    def set_caps(**caps: int | None) -> None:
        with database.write() as session:
            budgets.set_caps(session, project_id, caps)  # type: ignore[arg-type]

    def spend(nanos: int, days_ago: int = 0) -> list[tuple[str, int]]:
        inbox.taken.clear()
        with database.write() as session:
            day = now(session).date() - timedelta(days=days_ago)
            session.merge(
                SpendDay(project_id=project_id, day=day, spent_nanos=nanos, reserved_nanos=0)
            )
        courier.round()
        assert set(inbox.kinds) <= {"project.budget"}
        courier.round()
        # Those of one round arrive at once, in any order.
        return sorted((told["data"]["period"], told["data"]["percent"]) for told in inbox.told)

    set_caps(daily_nanos=1000)
    assert spend(499) == []
    assert spend(500) == [("day", 50)]
    set_caps(monthly_nanos=1250)
    assert spend(1000) == [("day", 100), ("month", 80)]
    caps = {told["data"]["period"]: told["data"]["cap_usd"] for told in inbox.told}
    assert caps["day"] == "0.000001000"
    assert spend(1000) == []
    set_caps(daily_nanos=3000)
    assert spend(1000) == []
    assert spend(1500) == [("day", 50), ("month", 100)]
    # A day later its cap is before it again, and what was told was told of the day before.
    with database.write() as session:
        budget = session.exec(select(ProjectBudget)).one()
        assert budget.told_day is not None
        budget.told_day -= timedelta(days=1)
        session.add(budget)
    assert spend(1500) == [("day", 50)]


def test_without_anything_to_tell_nothing_is_written(
    database: Database, inbox: Inbox, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(database, inbox.url)
    seed_batch(database)
    courier.round()

    def write() -> None:
        pytest.fail("a transaction that writes")

    monkeypatch.setattr(database, "write", write)
    assert courier.round() == 0


class Names(AbstractResolver):
    """Names as somebody made them who wants to reach what is ours: another address with each look."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        address = self.answers.pop(0)
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=family or 2, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
def test_a_name_with_a_private_address_is_not_connected_to(
    database: Database, inbox: Inbox, address: str
) -> None:
    names = Names(address)
    courier = Courier(database, to_private=False, resolver=lambda: names)
    listen(database, f"https://innocent.test:{inbox.server_port}/")
    seed_batch(database)
    courier.round()
    assert "not public" in str(trouble(database))
    assert names.answers == []


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(
    database: Database, inbox: Inbox
) -> None:
    """The second answer would lead to ourselves; nobody asks for it."""
    names = Names("203.0.114.1", "127.0.0.1")
    courier = Courier(database, to_private=False, resolver=lambda: names)
    listen(database, f"https://rebinding.test:{inbox.server_port}/")
    seed_batch(database)
    courier.round()
    assert trouble(database) is not None
    assert names.answers == ["127.0.0.1"]
    assert inbox.taken == []


def test_an_address_that_was_allowed_once_is_looked_at_again(
    database: Database, inbox: Inbox
) -> None:
    listen(database, f"https://127.0.0.1:{inbox.server_port}/")
    seed_batch(database)
    Courier(database, to_private=False).round()
    assert "public address" in str(trouble(database))


async def test_a_secret_is_shown_once_and_a_webhook_is_its_projects(
    client: httpx.AsyncClient, database: Database
) -> None:
    made = await client.post("/api/webhooks", json={"url": "https://example.com/hooks"})
    assert made.status_code == 201
    created = made.json()
    assert created["secret"].startswith("whsec_")
    listed = (await client.get("/api/webhooks")).json()["data"]
    assert listed == [{name: value for name, value in created.items() if name != "secret"}]
    foreign = listen(database, "https://example.com/", project="other")
    assert (await client.delete(f"/api/webhooks/{foreign.ref}")).status_code == 404
    assert (await client.delete(f"/api/webhooks/{created['id']}")).status_code == 204
    assert (await client.get("/api/webhooks")).json() == {"data": []}


@pytest.mark.parametrize(
    "body", [{"url": "http://example.com/"}, {"url": "https://10.0.0.1/"}, {"url": 1}, {}]
)
async def test_a_webhook_that_may_not_be_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    refused = await client.post("/api/webhooks", json=body)
    assert refused.status_code == 400
    assert refused.json()["code"] == "invalid_parameter"
