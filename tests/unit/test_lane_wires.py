"""The four batch APIs by what they were recorded to say: one story, told by each in its own words."""

from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from jobs.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    MalformedReply,
    Overloaded,
    ProviderError,
    ProviderUnusable,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from jobs.exchange import Answer, Finish
from tests.support.batch_words import (
    APIS,
    GEMINI,
    MISTRAL,
    NOW,
    OPENAI,
    TAG,
    UPLOADS,
    Api,
    order_of,
)
from tests.support.recorded import Given, Recorded, lines
from workers.lanes.wire import End, NativeBatches, NativeLine, Remote, may_have_created

KEY = SecretStr("sk-secret")


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Api:
    """One provider's words."""
    return APIS[request.param]


async def read(batches: NativeBatches, remote: Remote) -> dict[str, NativeLine]:
    """Return the lines of results by their ids."""
    return {line.custom_id: line async for line in batches.results(KEY, remote)}


async def test_a_native_batch_is_sent_watched_read_and_tidied(api: Api, tmp_path: Path) -> None:
    deletes: dict[str, Given | list[Given]] = {
        f"DELETE {path}": {}
        for path in ("/v1/files/file-in", "/v1/files/in", "/v1/files/out", api.one)
    }
    recorded = Recorded(
        {
            **UPLOADS,
            **deletes,
            **api.results,
            api.create: api.batch(),
            f"GET {api.one}": [api.batch(), api.batch("done")],
        }
    )
    batches = recorded.lane(api.protocol)
    order = order_of(batches, tmp_path)
    file_id = await batches.upload(KEY, order)
    assert bool(file_id) is api.uploads
    remote = await batches.create(KEY, order, file_id)
    assert not remote.is_ended
    remote = await batches.look(KEY, remote.id)
    assert (remote.end, remote.total) == (None, 4)
    assert remote.done == (1 if api.tells_progress else None)
    remote = await batches.look(KEY, remote.id)
    assert (remote.is_ended, remote.done, remote.total, remote.failure) == (True, 4, 4, None)
    assert remote.created_at is not None
    assert abs(remote.created_at - NOW) < timedelta(seconds=1)

    results = await read(batches, remote)
    assert set(results) == {f"{TAG}-{no}" for no in range(4)}
    for no in (0, 1):
        answer = results[f"{TAG}-{no}"].end
        assert isinstance(answer, Answer)
        assert (answer.text, answer.finish) == ("hello", Finish.COMPLETE)
        assert answer.usage is not None
        assert answer.usage.counts() == (3, 0, 0, 2, 0)
    assert isinstance(results[f"{TAG}-2"].end, RequestRejected)
    not_run = {custom_id for custom_id, line in results.items() if line.end is None}
    assert not_run == api.unanswered

    before = len(recorded.asked)
    await batches.tidy(KEY, remote, file_id)
    deleted = {name for name in recorded.names()[before:] if name.startswith("DELETE ")}
    assert deleted, "something is deleted, and what is gone already is no error"


async def test_what_is_sent_is_every_line_once(api: Api, tmp_path: Path) -> None:
    recorded = Recorded({**UPLOADS, api.create: api.batch()})
    batches = recorded.lane(api.protocol)
    order = order_of(batches, tmp_path, count=3000)
    await batches.create(KEY, order, await batches.upload(KEY, order))
    sent = b"".join(request.content for request in recorded.asked)
    for no in (0, 1, 1499, 2999):
        assert sent.count(b'"%b-%d"' % (TAG.encode(), no)) == 1
    if not api.uploads:
        body = msgspec.json.decode(recorded.asked[-1].content)
        assert [line["custom_id"] for line in body["requests"]] == [
            f"{TAG}-{no}" for no in range(3000)
        ]
    for request in recorded.asked:
        assert int(request.headers["content-length"]) == len(request.content)


async def test_a_create_whose_answer_was_lost_is_found_again(api: Api, tmp_path: Path) -> None:
    recorded = Recorded(
        {
            api.create: httpx.ReadError("reset"),
            api.listing: [
                api.page([api.other("2")], True),
                api.page([api.batch("done")], False),
            ],
            **api.results,
        }
    )
    batches = recorded.lane(api.protocol)
    order = order_of(batches, tmp_path)
    with pytest.raises(ConnectionLost) as caught:
        await batches.create(KEY, order, "file-in")
    assert may_have_created(caught.value)
    found, possible = await batches.find(KEY, order, NOW)
    assert found is not None
    assert (found.id, possible) == (api.id, 0)
    known = await batches.find(KEY, order, NOW, frozenset({found.id}))
    assert known == (None, 0), "one that is known is another one"


async def test_what_left_no_trace_is_not_found(api: Api, tmp_path: Path) -> None:
    others = [api.other(str(no)) for no in range(3)]
    recorded = Recorded({api.listing: api.page(others, False)})
    batches = recorded.lane(api.protocol)
    assert await batches.find(KEY, order_of(batches, tmp_path), NOW) == (None, 0)


@pytest.mark.parametrize("state", ["SOMETHING_NEW", ""])
async def test_a_status_that_is_new_is_no_end(api: Api, state: str) -> None:
    recorded = Recorded({f"GET {api.one}": api.batch(state)})
    remote = await recorded.lane(api.protocol).look(KEY, api.id)
    assert not remote.is_ended


@pytest.mark.parametrize("status", [200, 400, 404, 409])
async def test_cancelling_what_has_ended_is_no_error(api: Api, status: int) -> None:
    separator = ":" if api is GEMINI else "/"
    path = f"POST {api.one}{separator}cancel"
    recorded = Recorded({path: httpx.Response(status, json=api.batch("cancelling"))})
    await recorded.lane(api.protocol).cancel(KEY, api.id)
    assert recorded.names() == [path]


STRANGE = [
    b"not json",
    b'["a list"]',
    b'{"custom_id":7,"response":null}',
    b'{"nothing":"here"}',
    b'{"custom_id":"nb-7-3","key":"nb-7-3","response":{"status_code":200,"bo',
    b'{"custom_id":"nb-7-3","key":"nb-7-3","result":{"type":"new"},"response":null}',
    b"\xff\xfe",
    b"[" * 100_000,
]


async def test_strange_lines_are_told_and_never_raised_for(api: Api) -> None:
    good = dict(api.results)
    name, content = next(iter(good.items()))
    assert isinstance(content, bytes)
    good[name] = lines(*STRANGE) + b"\r\n\n  \n" + content + b"\n" + content
    batches = Recorded(good).lane(api.protocol)
    remote = ended_remote(api)
    found = [line async for line in batches.results(KEY, remote)]
    unread = [line for line in found if isinstance(line.end, MalformedReply)]
    assert len(unread) == len(STRANGE)
    assert {line.custom_id for line in unread} == {"", f"{TAG}-3"}
    twice = [line for line in found if line.custom_id == f"{TAG}-1"]
    assert [isinstance(line.end, Answer) for line in twice] == [True, True]


def ended_remote(api: Api) -> Remote:
    """Return one that has ended, with its files."""
    files = {"output": "files/out" if api is GEMINI else "file-out", "error": "file-err"}
    return Remote(api.id, End.COMPLETED, files=files)


@pytest.mark.parametrize("api", [OPENAI, GEMINI, MISTRAL], ids=["openai", "gemini", "mistral"])
async def test_one_without_files_has_no_results(api: Api) -> None:
    batches = Recorded({}).lane(api.protocol)
    assert await read(batches, Remote("batches/1", End.COMPLETED)) == {}


FAULTS: list[tuple[Given, type[ProviderError], bool]] = [
    (httpx.ConnectError("refused"), ConnectFailed, False),
    (httpx.ReadError("reset"), ConnectionLost, True),
    (
        httpx.Response(401, json={"error": {"message": "bad key sk-secret"}}),
        AuthenticationFailed,
        False,
    ),
    (httpx.Response(400, json={"error": {"message": "no"}}), RequestRejected, False),
    (httpx.Response(429, json={}, headers={"retry-after": "7"}), RateLimited, True),
    (httpx.Response(500, text="<html>"), ServerFailed, True),
    (httpx.Response(503, text="busy"), Overloaded, True),
    (httpx.Response(307, headers={"location": "http://evil.test/"}), ProviderUnusable, False),
    (httpx.Response(200, text="{}"), MalformedReply, True),
    (httpx.Response(200, text="<html>"), MalformedReply, True),
]


@pytest.mark.parametrize(("given", "kind", "may_be_there"), FAULTS)
async def test_every_failure_of_a_create_is_told_for_what_it_is(
    api: Api, tmp_path: Path, given: Given, kind: type[ProviderError], may_be_there: bool
) -> None:
    recorded = Recorded({api.create: given})
    batches = recorded.lane(api.protocol)
    with pytest.raises(ProviderError) as caught:
        await batches.create(KEY, order_of(batches, tmp_path), "files/in")
    assert type(caught.value) is kind
    assert may_have_created(caught.value) is may_be_there
    assert "sk-secret" not in str(caught.value)
    assert len(recorded.asked) == 1, "nothing is sent twice unasked, and no redirect is followed"
    if kind is RateLimited:
        assert caught.value.wait_s == 7


async def test_one_that_is_gone_is_told_by_its_status(api: Api) -> None:
    with pytest.raises(RequestRejected) as caught:
        await Recorded({}).lane(api.protocol).look(KEY, api.id)
    assert caught.value.status == 404
