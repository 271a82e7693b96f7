"""The batches of a run, sent one after the other, each again until somebody has said 202.

A lost answer leaves it open whether a batch was accepted. So each has an `Idempotency-Key`, under
which it may be sent as often as it takes; that it became one batch is looked up at the end.
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
class Submission:
    """What becomes a batch: its name, which its jobs bear too, and how many jobs it has."""

    name: str
    jobs: int


@dataclass(slots=True)
class Submissions:
    """What was accepted so far, with the ids that 202 was answered with; `tries` counts all requests."""

    options: Options
    accepted: dict[Submission, str] = field(default_factory=dict)
    tries: int = 0

    async def send_all(self, client: httpx.AsyncClient) -> None:
        """Send every batch at its time."""
        every_s = self.options.lasts_s * SENT_WITHIN / BATCHES
        began = asyncio.get_running_loop().time()
        sizes = [self.options.jobs // BATCHES] * BATCHES
        sizes[0] += self.options.jobs - sum(sizes)
        for number, jobs in enumerate(size for size in sizes if size):
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, began + number * every_s - now))
            submission = Submission(f"{number:03d}", jobs)
            while True:
                if await self._send(client, submission):
                    break
                await asyncio.sleep(AGAIN_S)

    async def _send(self, client: httpx.AsyncClient, submission: Submission) -> bool:
        """Return whether it was accepted; if not, it may have been all the same."""
        self.tries += 1
        params = {"name": submission.name}
        if self.options.max_cost_nanos is not None:
            params["max_cost_usd"] = format_usd(self.options.max_cost_nanos // BATCHES)
        try:
            reply = await client.post(
                "/api/batches",
                params=params,
                content=_body(submission),
                headers={"idempotency-key": submission.name},
                timeout=ANSWER_S,
            )
        except httpx.HTTPError:
            return False
        if reply.is_server_error or reply.status_code == HTTPStatus.CONFLICT:
            return False  # nothing works, or the request before is still being worked on
        if reply.status_code != HTTPStatus.ACCEPTED:
            raise ServiceUnavailable(f"a batch was answered with {reply.status_code}: {reply.text}")
        self.accepted[submission] = reply.json()["id"]
        return True


def job_ids(submission: Submission) -> list[str]:
    """Return the custom_ids of a submission; no other one's jobs have them."""
    return [f"{submission.name}-{number:06d}" for number in range(submission.jobs)]


def name_of(job_id: str) -> str:
    """Return the name of the submission that a job belongs to."""
    return job_id.rpartition("-")[0]


def _body(submission: Submission) -> bytes:
    return b"".join(
        orjson.dumps(_line(custom_id), option=orjson.OPT_APPEND_NEWLINE)
        for custom_id in job_ids(submission)
    )


def _line(custom_id: str) -> Mapping[str, object]:
    return {
        "custom_id": custom_id,
        "model": MODEL,
        "max_tokens": MAX_TOKENS,
        "prompt": f"[job:{custom_id}] {_TEXT}",
    }
