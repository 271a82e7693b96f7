"""Gemini's batches: a resumable upload, a long-running operation, a download."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Set
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from pydantic import SecretStr

from jobs.configuration import Provider
from jobs.errors import MalformedReply, ProviderError, ProviderUnusable, ServerFailed
from jobs.exchange import Endpoint, ModelRequest
from workers.lanes.wire.http import PIECE_BYTES, LaneHttp
from workers.lanes.wire.native import End, LaneShape, NativeLine, Order, Remote, Traces
from workers.lanes.wire.readings import (
    count,
    ended,
    id_of,
    instant,
    items,
    part,
    segment,
    strange,
    text,
)
from workers.lanes.wire.site import MOST_PAGES, PAGE, Site
from workers.protocols.encoding import key_value
from workers.protocols.faults import UNREADABLE
from workers.protocols.gemini import Gemini

EXPIRES = timedelta(hours=48)

SHAPE = LaneShape(
    max_lines=100_000,  # none is documented
    max_bytes=2_000_000_000,
    is_single_model=True,
    endpoints=frozenset({Endpoint.CHAT}),
    expires_after_s=int(EXPIRES.total_seconds()),
    keeps_partial=False,
    cancel_s=600,
)

ENDS = {
    "SUCCEEDED": End.COMPLETED,
    "FAILED": End.FAILED,
    "CANCELLED": End.CANCELLED,
    "EXPIRED": End.EXPIRED,
}
"""By the last word of a state: it is BATCH_STATE_… on the wire and JOB_STATE_… in the documents."""

STATUSES = {
    1: 499,
    3: 400,
    4: 504,
    5: 404,
    7: 403,
    8: 429,
    9: 400,
    13: 500,
    14: 503,
    16: 401,
}
"""The HTTP status for a number of gRPC's, which an operation or a line may have instead."""

FILE_IS_GONE = frozenset({403, 404})
"""Who asks for a file that is gone is told that it may be somebody else's."""

MIME = "jsonl"


class _Line(msgspec.Struct):
    key: str
    response: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: Any = None
    status: Any = None


_decoder = msgspec.json.Decoder(_Line)


class GeminiBatches:
    """Batches of one model, which stands in the path. They expire with nothing at all."""

    def __init__(self, provider: Provider, http: LaneHttp) -> None:
        self._protocol = Gemini()
        self._site = Site(provider, http, self._protocol, credentials)
        address = urlsplit(provider.base_url)
        self._origin = f"{address.scheme}://{address.netloc}"
        place, _, version = address.path.rpartition("/")
        self._upload = f"{self._origin}{place}/upload/{version}/files"
        self._download = f"{self._origin}{place}/download/{version}"

    @property
    def shape(self) -> LaneShape:
        """What Google documents."""
        return self._site.shape(SHAPE)

    def endpoint(self, request: ModelRequest) -> Endpoint:
        """Return the one word there is for it: bodies are never passed on here."""
        return Endpoint.CHAT

    def line(self, custom_id: str, model: str, request: ModelRequest) -> bytes:
        """Return the request under a key."""
        body = self._site.body(self._protocol, model, request)
        return b'{"key":"%b","request":%b}' % (custom_id.encode(), body)

    async def upload(self, key: SecretStr | None, order: Order) -> str:
        """Begin a resumable upload, then send all of it in one go."""
        begin = self._site.ask(
            "POST",
            key,
            self._upload,
            content=msgspec.json.encode({"file": {"displayName": order.tag, "mimeType": MIME}}),
            headers=(
                ("x-goog-upload-protocol", "resumable"),
                ("x-goog-upload-command", "start"),
                ("x-goog-upload-header-content-length", str(order.size_bytes)),
                ("x-goog-upload-header-content-type", MIME),
            ),
        )
        address = (await self._site.reply(begin, key)).headers.get("x-goog-upload-url", "")
        if not address.startswith(f"{self._origin}/"):
            # The key would go there, too.
            raise ProviderUnusable("the provider wants the upload to go to another server")
        send = self._site.ask(
            "POST",
            key,
            address,
            content=pieces_of(order.spool),
            size_bytes=order.size_bytes,
            headers=(
                ("x-goog-upload-offset", "0"),
                ("x-goog-upload-command", "upload, finalize"),
            ),
        )
        return name_of(part(await self._site.document(send, key), "file"), "files")

    async def create(self, key: SecretStr | None, order: Order, file_id: str) -> Remote:
        """Make the batch, with our tag as its display name."""
        model = segment(order.model.removeprefix("models/"))
        batch = {"displayName": order.tag, "inputConfig": {"fileName": file_id}}
        path = f"/models/{model}:batchGenerateContent"
        return remote_of(await self._site.post(key, path, {"batch": batch}))

    async def find(
        self, key: SecretStr | None, order: Order, since: datetime, known: Set[str] = frozenset()
    ) -> Traces:
        """Look for the display name among all batches: in which order they are listed is not documented."""
        token = ""
        for _ in range(MOST_PAGES):
            page = await self._site.get(key, f"/batches?pageSize={PAGE}{token}")
            for batch in items(page, "operations") or items(page, "batches"):
                is_ours = part(batch, "metadata").get("displayName") == order.tag
                if is_ours and batch.get("name") not in known:
                    return Traces(remote_of(batch))
            if not (following := text(page.get("nextPageToken"))):
                break
            token = f"&pageToken={segment(following)}"
        return Traces(None)

    async def look(self, key: SecretStr | None, remote_id: str) -> Remote:
        """Return how it stands."""
        return remote_of(await self._site.get(key, path_of(remote_id)))

    async def cancel(self, key: SecretStr | None, remote_id: str) -> None:
        """Cancel it."""
        await self._site.cancel(key, f"{path_of(remote_id)}:cancel")

    async def results(
        self, key: SecretStr | None, remote: Remote
    ) -> AsyncGenerator[NativeLine, None]:
        """Yield the lines of the file of responses, if there is one."""
        if name := remote.files.get("output"):
            path = f"{self._download}{path_of(name)}:download?alt=media"
            async with aclosing(self._site.lines(key, path)) as lines:
                async for line in lines:
                    yield self._read(line)

    def _read(self, line: bytes) -> NativeLine:
        try:
            read = _decoder.decode(line)
        except UNREADABLE as error:
            return strange(line, str(error))
        if isinstance(read.response, msgspec.Raw):
            end = ended(self._protocol, 200, {}, bytes(read.response))
            return NativeLine(read.key, end)
        fault = read.error if isinstance(read.error, dict) else read.status
        if not isinstance(fault, dict):
            return strange(line, "neither a response nor an error")
        return NativeLine(read.key, self._site.error(*error_of(fault)))

    async def tidy(self, key: SecretStr | None, remote: Remote, file_id: str = "") -> None:
        """Delete the files and the batch; results would lie there for weeks."""
        for name in filter(None, {file_id, *remote.files.values()}):
            await self._site.delete(key, path_of(name), FILE_IS_GONE)
        await self._site.delete(key, path_of(remote.id))


def credentials(key: SecretStr | None) -> tuple[tuple[str, str], ...]:
    """Return the header with the key, which is never in the URL."""
    return () if key is None else (("x-goog-api-key", key_value(key)),)


async def pieces_of(spool: Path) -> AsyncIterator[bytes]:
    """Yield a file's content."""
    with spool.open("rb") as lines:
        while piece := lines.read(PIECE_BYTES):
            yield piece


def name_of(document: Mapping[str, Any], collection: str) -> str:
    """Return a name such as `files/abc`.

    Raises:
        MalformedReply: there is none.
    """
    name = id_of(document, "name")
    if not name.startswith(f"{collection}/"):
        raise MalformedReply(f"the provider's reply has no name of `{collection}`")
    return name


def path_of(name: str) -> str:
    """Return where `files/abc` is, whatever else it may be called."""
    collection, _, rest = name.partition("/")
    return f"/{segment(collection)}/{segment(rest)}"


def remote_of(operation: Mapping[str, Any]) -> Remote:
    """Return how a batch stands by its operation."""
    metadata = part(operation, "metadata")
    stats, created_at = part(metadata, "batchStats"), instant(metadata.get("createTime"))
    total = count(stats.get("requestCount"))
    end, failure = _end(operation)
    output = part(metadata, "output") or part(operation, "response")
    files = {
        "input": text(part(metadata, "inputConfig").get("fileName")),
        "output": text(output.get("responsesFile")),
    }
    return Remote(
        id=name_of(operation, "batches"),
        end=end,
        done=count(stats.get("successfulRequestCount")) + count(stats.get("failedRequestCount"))
        if total
        else None,
        total=total or None,
        failure=failure,
        created_at=created_at,
        expires_at=None if created_at is None else created_at + EXPIRES,
        files={name: file for name, file in files.items() if file},
    )


def _end(operation: Mapping[str, Any]) -> tuple[End | None, ProviderError | None]:
    """Return how it ended, and why if it failed: by its state, and where that says nothing by `done`."""
    fault, is_done = operation.get("error"), operation.get("done") is True
    state = text(part(operation, "metadata").get("state")).rpartition("_")[2]
    end = ENDS.get(state)
    if end is None and is_done:
        end = End.FAILED if isinstance(fault, dict) else End.COMPLETED
    if end is not End.FAILED:
        return end, None
    if not isinstance(fault, dict):
        return end, ServerFailed("the provider gave no reason")
    failure = ended(Gemini(), *error_of(fault))
    assert isinstance(failure, ProviderError)
    return end, failure


def error_of(error: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """Return the reply that a live call would have had with this error; its code is of HTTP or gRPC."""
    code = count(error.get("code"))
    status = code if 400 <= code < 600 else STATUSES.get(code, 500)
    return status, {}, msgspec.json.encode({"error": dict(error)})
