"""Files of lines as OpenAI has them, and Mistral after it: uploaded as a form, read line by line, deleted."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from pydantic import SecretStr

from workers.lanes.wire.native import Order, Remote
from workers.lanes.wire.readings import id_of, segment
from workers.lanes.wire.site import Site


class Response(msgspec.Struct):
    """The reply to a line, as a live call would have had it."""

    status_code: int
    body: msgspec.Raw
    request_id: Any = None


class ResultLine(msgspec.Struct):
    """A line of the output, or of the errors. What `error` looks like differs."""

    custom_id: str
    response: Response | None = None
    error: Any = None


read_line = msgspec.json.Decoder(ResultLine).decode


async def upload(
    site: Site, key: SecretStr | None, order: Order, more: Mapping[str, str] | None = None
) -> str:
    """Upload the lines of an order; return the file's id. `more` are fields of the form."""
    with order.spool.open("rb") as spool:
        ask = site.ask(
            "POST",
            key,
            "/files",
            files={"file": (f"{order.tag}.jsonl", spool, "application/jsonl")},
            data={"purpose": "batch", **(more or {})},
            size_bytes=order.size_bytes,
        )
        return id_of(await site.document(ask, key))


async def lines(
    site: Site, key: SecretStr | None, files: Mapping[str, str]
) -> AsyncGenerator[bytes, None]:
    """Yield the lines of the output, then those of the errors; either may not exist."""
    for name in ("output", "error"):
        if file_id := files.get(name):
            async with aclosing(site.lines(key, f"/files/{segment(file_id)}/content")) as found:
                async for line in found:
                    yield line


async def tidy(site: Site, key: SecretStr | None, remote: Remote, file_id: str) -> None:
    """Delete the files of a native batch, with the one that was uploaded; it itself can't be."""
    for name in filter(None, {file_id, *remote.files.values()}):
        await site.delete(key, f"/files/{segment(name)}")
