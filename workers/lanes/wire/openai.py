"""OpenAI's files and batches, and the servers that pass them on."""

from collections.abc import AsyncGenerator, Mapping, Set
from contextlib import aclosing
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from jobs.configuration import Provider
from jobs.errors import ProviderError, RateLimited, RequestRejected, ServerFailed
from jobs.exchange import Endpoint, ModelRequest
from workers.calls.calls import said
from workers.lanes.wire import files
from workers.lanes.wire.http import LaneHttp
from workers.lanes.wire.native import (
    End,
    LaneShape,
    NativeLine,
    Order,
    Remote,
    Traces,
)
from workers.lanes.wire.readings import (
    count,
    ended,
    id_of,
    instant,
    items,
    part,
    refusal,
    segment,
    strange,
    text,
)
from workers.lanes.wire.site import MOST_PAGES, PAGE, SKEW, TAG, Site
from workers.protocols import protocol_of
from workers.protocols.encoding import bearer
from workers.protocols.faults import UNREADABLE
from workers.protocols.openai import WORDS

SHAPE = LaneShape(
    max_lines=50_000,
    max_bytes=200_000_000,
    is_single_model=True,
    endpoints=frozenset({Endpoint.CHAT, Endpoint.RESPONSES}),
    expires_after_s=24 * 3600,
    keeps_partial=True,
    cancel_s=600,
)

INPUT_LIVES_S = 3 * 86_400
"""After which OpenAI deletes the input, also one whose upload was repeated and that nobody knows."""

ENDS = {
    "completed": End.COMPLETED,
    "failed": End.FAILED,
    "expired": End.EXPIRED,
    "cancelled": End.CANCELLED,
}
"""What is not here has not ended."""

FAILURES: dict[str, type[ProviderError]] = {
    **WORDS,
    "token_limit_exceeded": RateLimited,
    "too_many_tasks": RequestRejected,
    "invalid_json_line": RequestRejected,
    "duplicate_custom_id": RequestRejected,
    "url_mismatch": RequestRejected,
    "model_mismatch": RequestRejected,
    "mismatched_model": RequestRejected,
    "empty_file": RequestRejected,
}
"""Why a native batch failed as a whole, by its first error's code; what is new is refused for good."""

NOT_RUN = frozenset({"batch_expired", "batch_cancelled", "batch_canceled"})


class OpenAIBatches:
    """Batches of OpenAI's format."""

    def __init__(self, provider: Provider, http: LaneHttp) -> None:
        self._provider = provider
        self._protocols = {
            endpoint: protocol_of(provider, endpoint) for endpoint in SHAPE.endpoints
        }
        self._site = Site(provider, http, self._protocols[Endpoint.CHAT], bearer)

    @property
    def shape(self) -> LaneShape:
        """What OpenAI documents."""
        return self._site.shape(SHAPE)

    def endpoint(self, request: ModelRequest) -> Endpoint:
        """Return where the body goes that was written for it, else to the chat."""
        passed = said(self._provider, request).passed
        return Endpoint.CHAT if passed is None else passed.endpoint

    def line(self, custom_id: str, model: str, request: ModelRequest) -> bytes:
        """Return the request with its endpoint."""
        endpoint = self.endpoint(request)
        body = self._site.body(self._protocols[endpoint], model, request)
        return b'{"custom_id":"%b","method":"POST","url":"/v1%b","body":%b}' % (
            custom_id.encode(),
            endpoint.encode(),
            body,
        )

    async def upload(self, key: SecretStr | None, order: Order) -> str:
        """Upload the file. At OpenAI it goes away by itself; others may not know how."""
        more = {}
        if self._provider.is_openais_own:
            more = {
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": str(INPUT_LIVES_S),
            }
        return await files.upload(self._site, key, order, more)

    async def create(self, key: SecretStr | None, order: Order, file_id: str) -> Remote:
        """Make the batch, with our tag in its metadata."""
        document = {
            "input_file_id": file_id,
            "endpoint": f"/v1{order.endpoint}",
            "completion_window": "24h",
            "metadata": {TAG: order.tag},
        }
        return remote_of(await self._site.post(key, "/batches", document))

    async def find(
        self, key: SecretStr | None, order: Order, since: datetime, known: Set[str] = frozenset()
    ) -> Traces:
        """Look for the tag among the batches, as far back as it can be."""
        after = ""
        for _ in range(MOST_PAGES):
            page = await self._site.get(key, f"/batches?limit={PAGE}{after}")
            batches = items(page, "data")
            for batch in batches:
                if part(batch, "metadata").get(TAG) == order.tag and batch.get("id") not in known:
                    return Traces(remote_of(batch))
            is_last = page.get("has_more") is False or not batches
            if is_last or _are_older(batches, since - SKEW):
                break
            after = f"&after={segment(id_of(batches[-1]))}"
        return Traces(None)

    async def look(self, key: SecretStr | None, remote_id: str) -> Remote:
        """Return how it stands."""
        return remote_of(await self._site.get(key, f"/batches/{segment(remote_id)}"))

    async def cancel(self, key: SecretStr | None, remote_id: str) -> None:
        """Cancel it; that takes up to ten minutes, and what is finished is kept."""
        await self._site.cancel(key, f"/batches/{segment(remote_id)}/cancel")

    async def results(
        self, key: SecretStr | None, remote: Remote
    ) -> AsyncGenerator[NativeLine, None]:
        """Yield the lines of the output, then those of the errors; either may not exist."""
        async with aclosing(files.lines(self._site, key, remote.files)) as lines:
            async for line in lines:
                yield self._read(remote.endpoint, line)

    def _read(self, endpoint: Endpoint, line: bytes) -> NativeLine:
        try:
            read = files.read_line(line)
        except UNREADABLE as error:
            return strange(line, str(error))
        if (response := read.response) is not None:
            request_id = text(response.request_id)
            headers = {"x-request-id": request_id} if request_id else {}
            protocol = self._protocols[endpoint]
            end = ended(protocol, response.status_code, headers, bytes(response.body))
            return NativeLine(read.custom_id, end)
        match read.error:
            case {"code": str(code)} if code in NOT_RUN:
                return NativeLine(read.custom_id, None)
            case {"code": code, **rest}:
                kind = FAILURES.get(text(code), ServerFailed)
                return NativeLine(read.custom_id, refusal(kind, rest.get("message"), code))
            case _:
                return strange(line, "neither a response nor an error")

    async def tidy(self, key: SecretStr | None, remote: Remote, file_id: str = "") -> None:
        """Delete the files; a batch itself can't be."""
        await files.tidy(self._site, key, remote, file_id)


def remote_of(batch: Mapping[str, Any]) -> Remote:
    """Return how a batch stands by the object that says so."""
    status, counts = text(batch.get("status")), part(batch, "request_counts")
    end, total = ENDS.get(status), count(counts.get("total"))
    file_ids = {
        name: file_id
        for name in ("input", "output", "error")
        if (file_id := text(batch.get(f"{name}_file_id")))
    }
    is_of_responses = text(batch.get("endpoint")).endswith(Endpoint.RESPONSES)
    return Remote(
        id=id_of(batch),
        end=end,
        is_cancelling=status == "cancelling",
        done=count(counts.get("completed")) + count(counts.get("failed")) if total else None,
        total=total or None,
        failure=_failure(batch) if end is End.FAILED else None,
        created_at=instant(batch.get("created_at")),
        expires_at=instant(batch.get("expires_at")),
        endpoint=Endpoint.RESPONSES if is_of_responses else Endpoint.CHAT,
        files=file_ids,
    )


def _failure(batch: Mapping[str, Any]) -> ProviderError:
    faults = items(part(batch, "errors"), "data")
    if not faults:
        return ServerFailed("the provider gave no reason")
    code = text(faults[0].get("code"))
    return refusal(FAILURES.get(code, RequestRejected), faults[0].get("message"), code)


def _are_older(batches: list[Mapping[str, Any]], than: datetime) -> bool:
    """Whether a list that goes back in time is past what is looked for."""
    times = [at for batch in batches if (at := instant(batch.get("created_at"))) is not None]
    return len(times) > 1 and times[0] > times[-1] and times[0] < than
