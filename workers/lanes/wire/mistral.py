"""Mistral's batch jobs: OpenAI's idea with a form of its own."""

import math
from collections.abc import AsyncGenerator, Mapping, Set
from contextlib import aclosing
from datetime import datetime
from typing import Any

import msgspec
from pydantic import SecretStr

from jobs.configuration import Provider
from jobs.errors import ProviderError, RateLimited, RequestRejected, ServerFailed
from jobs.exchange import Endpoint, ModelRequest
from workers.lanes.wire import files
from workers.lanes.wire.http import LaneHttp
from workers.lanes.wire.native import End, LaneShape, NativeLine, Order, Remote, Traces
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
from workers.protocols.encoding import bearer
from workers.protocols.faults import UNREADABLE
from workers.protocols.mistral import Mistral

SHAPE = LaneShape(
    max_lines=100_000,  # the lower one of two that are documented
    max_bytes=512_000_000,
    is_single_model=True,
    endpoints=frozenset({Endpoint.CHAT}),
    expires_after_s=24 * 3600,
    keeps_partial=False,  # not documented
    cancel_s=600,
)

LONGEST_H = 7 * 24 - 1

ENDS = {
    "SUCCESS": End.COMPLETED,
    "FAILED": End.FAILED,
    "TIMEOUT_EXCEEDED": End.EXPIRED,
    "CANCELLED": End.CANCELLED,
}
"""What is not here has not ended."""

NOT_RUN = ("expired", "cancelled", "canceled", "timeout")
"""What a line that was not run may say: its form is not documented."""


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class MistralBatches:
    """Batch jobs. The model and the endpoint are the job's; a line has neither."""

    def __init__(self, provider: Provider, http: LaneHttp) -> None:
        self._protocol = Mistral()
        self._site = Site(provider, http, self._protocol, bearer)
        lane = provider.lane
        expires_after_s = lane.expires_after_s if lane is not None else None
        hours = math.ceil((expires_after_s or SHAPE.expires_after_s) / 3600)
        self._timeout_h = min(hours, LONGEST_H)

    @property
    def shape(self) -> LaneShape:
        """What Mistral documents."""
        return self._site.shape(SHAPE)

    def endpoint(self, request: ModelRequest) -> Endpoint:
        """Return the chat, which is all there is."""
        return Endpoint.CHAT

    def line(self, custom_id: str, model: str, request: ModelRequest) -> bytes:
        """Return the request's body under its custom_id."""
        fields = _fields.decode(self._site.body(self._protocol, model, request))
        del fields["model"]
        return b'{"custom_id":"%b","body":%b}' % (custom_id.encode(), msgspec.json.encode(fields))

    async def upload(self, key: SecretStr | None, order: Order) -> str:
        """Upload the file. One whose upload was repeated stays there: nothing tells Mistral when to go."""
        return await files.upload(self._site, key, order)

    async def create(self, key: SecretStr | None, order: Order, file_id: str) -> Remote:
        """Make the job, with our tag in its metadata."""
        document = {
            "input_files": [file_id],
            "endpoint": f"/v1{order.endpoint}",
            "model": order.model,
            "metadata": {TAG: order.tag},
            "timeout_hours": self._timeout_h,
        }
        return remote_of(await self._site.post(key, "/batch/jobs", document))

    async def find(
        self, key: SecretStr | None, order: Order, since: datetime, known: Set[str] = frozenset()
    ) -> Traces:
        """Look for the tag among all jobs: in which order they are listed is not documented."""
        created_after = segment((since - SKEW).isoformat())
        for page_no in range(MOST_PAGES):
            path = f"/batch/jobs?page={page_no}&page_size={PAGE}&created_after={created_after}"
            jobs = items(await self._site.get(key, path), "data")
            for job in jobs:
                if part(job, "metadata").get(TAG) == order.tag and job.get("id") not in known:
                    return Traces(remote_of(job))
            if len(jobs) < PAGE:
                break
        return Traces(None)

    async def look(self, key: SecretStr | None, remote_id: str) -> Remote:
        """Return how it stands."""
        return remote_of(await self._site.get(key, f"/batch/jobs/{segment(remote_id)}"))

    async def cancel(self, key: SecretStr | None, remote_id: str) -> None:
        """Cancel it."""
        await self._site.cancel(key, f"/batch/jobs/{segment(remote_id)}/cancel")

    async def results(
        self, key: SecretStr | None, remote: Remote
    ) -> AsyncGenerator[NativeLine, None]:
        """Yield the lines of the output, then those of the errors; either may not exist."""
        async with aclosing(files.lines(self._site, key, remote.files)) as lines:
            async for line in lines:
                yield self._read(line)

    def _read(self, line: bytes) -> NativeLine:
        try:
            read = files.read_line(line)
        except UNREADABLE as error:
            return strange(line, str(error))
        if (response := read.response) is not None:
            end = ended(self._protocol, response.status_code, {}, bytes(response.body))
            return NativeLine(read.custom_id, end)
        message, code = said_of(read.error)
        if not message and not code:
            return strange(line, "neither a response nor an error")
        if any(word in f"{message} {code}".lower() for word in NOT_RUN):
            return NativeLine(read.custom_id, None)
        return NativeLine(read.custom_id, refusal(ServerFailed, message, code))

    async def tidy(self, key: SecretStr | None, remote: Remote, file_id: str = "") -> None:
        """Delete the files; a job itself can't be."""
        await files.tidy(self._site, key, remote, file_id)


def remote_of(job: Mapping[str, Any]) -> Remote:
    """Return how a job stands by the object that says so."""
    status, total = text(job.get("status")), count(job.get("total_requests"))
    end = ENDS.get(status)
    inputs = job.get("input_files")
    file_ids = {
        "input": text(inputs[0]) if isinstance(inputs, list) and inputs else "",
        "output": text(job.get("output_file")),
        "error": text(job.get("error_file")),
    }
    return Remote(
        id=id_of(job),
        end=end,
        is_cancelling=status == "CANCELLATION_REQUESTED",
        done=count(job.get("succeeded_requests")) + count(job.get("failed_requests"))
        if total
        else None,
        total=total or None,
        failure=_failure(job) if end is End.FAILED else None,
        created_at=instant(job.get("created_at")),
        files={name: file_id for name, file_id in file_ids.items() if file_id},
    )


def _failure(job: Mapping[str, Any]) -> ProviderError:
    """Return why it failed; in words only, so that what is no limit is refused for good."""
    faults = items(job, "errors")
    if not faults:
        return ServerFailed("the provider gave no reason")
    message = text(faults[0].get("message"))
    is_limit = any(word in message.lower() for word in ("limit", "quota", "pending"))
    return refusal(RateLimited if is_limit else RequestRejected, message, "")


def said_of(error: object) -> tuple[str, str]:
    """Return the message and the code of a line's error, whichever form it has."""
    if isinstance(error, str):
        return error, ""
    if not isinstance(error, dict):
        return "", ""
    return text(error.get("message")), text(error.get("code"))
