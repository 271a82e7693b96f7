"""The batches of a run, sent one after the other, each again until somebody has said 202.

A lost answer leaves it open whether a batch was accepted, so every try has a name of its own, which
its jobs bear too: what became of it is looked up at the end.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx
import orjson

from jobs.errors import ServiceUnavailable
from jobs.money import format_usd
from scripts.benchmarks.workload import MAX_TOKENS, MODEL
from scripts.fault_injection.arguments import Options

BATCHES = 12
SENT_WITHIN = 0.6
"""Of the time in which faults happen: the rest finds a backlog."""

AGAIN_S = 0.5
ANSWER_S = 20.0

_TEXT = (
    "The tide comes in, fills the pond, and the miller waits for the ebb to grind the corn. " * 4
)


@dataclass(frozen=True, slots=True)
class Try:
    """A submission that was sent: its name, and how many jobs it has."""

    name: str
    jobs: int


@dataclass(slots=True)
class Submissions:
    """What was sent so far; `accepted` are the ids of batches that were answered with 202, by name."""

    options: Options
    tries: list[Try] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)

    async def send_all(self, client: httpx.AsyncClient) -> None:
        """Send every batch at its time."""
        every_s = self.options.lasts_s * SENT_WITHIN / BATCHES
        began = asyncio.get_running_loop().time()
        sizes = [self.options.jobs // BATCHES] * BATCHES
        sizes[0] += self.options.jobs - sum(sizes)
        for number, jobs in enumerate(size for size in sizes if size):
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, began + number * every_s - now))
            await self._send(client, number, jobs)

    async def _send(self, client: httpx.AsyncClient, number: int, jobs: int) -> None:
        tries = 0
        while not await self._try(client, Try(f"{number:03d}-{tries}", jobs)):
            tries += 1
            await asyncio.sleep(AGAIN_S)

    async def _try(self, client: httpx.AsyncClient, tried: Try) -> bool:
        self.tries.append(tried)
        params = {"name": tried.name}
        if self.options.max_cost_nanos is not None:
            params["max_cost_usd"] = format_usd(self.options.max_cost_nanos // BATCHES)
        try:
            reply = await client.post(
                "/api/batches", params=params, content=_body(tried), timeout=ANSWER_S
            )
        except httpx.HTTPError:
            return False
        if reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return False
        if reply.status_code != HTTPStatus.ACCEPTED:
            raise ServiceUnavailable(f"a batch was answered with {reply.status_code}: {reply.text}")
        self.accepted[tried.name] = reply.json()["id"]
        return True


def job_ids(tried: Try) -> list[str]:
    """Return the custom_ids of a submission; no other one's jobs have them."""
    return [f"{tried.name}-{number:06d}" for number in range(tried.jobs)]


def name_of(job_id: str) -> str:
    """Return the name of the submission that a job belongs to."""
    return job_id.rpartition("-")[0]


def _body(tried: Try) -> bytes:
    return b"".join(
        orjson.dumps(_line(custom_id), option=orjson.OPT_APPEND_NEWLINE)
        for custom_id in job_ids(tried)
    )


def _line(custom_id: str) -> Mapping[str, object]:
    return {
        "custom_id": custom_id,
        "model": MODEL,
        "max_tokens": MAX_TOKENS,
        "prompt": f"[job:{custom_id}] {_TEXT}",
    }
