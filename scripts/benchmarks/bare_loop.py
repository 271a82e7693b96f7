"""The measure of all things: the same calls in a bare aiohttp loop that keeps nothing.

`python -m scripts.benchmarks.bare_loop URL JOBS IN_FLIGHT WARM_UP_JOBS`, a process of its own.
"""

import asyncio
import gc
import sys
import time
from dataclasses import asdict, dataclass

import aiohttp
import orjson
import uvloop

from scripts.benchmarks import child
from scripts.benchmarks.cases import WARM_UP_JOBS
from scripts.benchmarks.workload import request_body

PATH = "/v1/chat/completions"
HEADERS = {"content-type": "application/json", "user-agent": "bare"}


@dataclass(frozen=True, slots=True)
class BareRun:
    """From the first call to the last answer; `cpu_s` is this process's own."""

    took_s: float
    cpu_s: float
    output_tokens: int


def run_bare_loop(provider_url: str, jobs: int, in_flight: int) -> BareRun:
    """Measure it once."""
    with child.started(__name__, provider_url, jobs, in_flight, WARM_UP_JOBS) as process:
        return BareRun(**child.answer(process))


async def _measure(url: str, jobs: int, in_flight: int, warm_up_jobs: int) -> BareRun:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        await _call_all(session, url, warm_up_jobs, in_flight)
        # As the workers do: whoever is compared with them must not lose by the collector.
        gc.collect()
        gc.freeze()
        began, cpu_began = time.perf_counter(), time.process_time()
        tokens = await _call_all(session, url, jobs, in_flight)
        return BareRun(time.perf_counter() - began, time.process_time() - cpu_began, tokens)


async def _call_all(session: aiohttp.ClientSession, url: str, jobs: int, in_flight: int) -> int:
    numbers = iter(range(jobs))

    async def call_in_turn() -> int:
        tokens = 0
        for number in numbers:
            async with session.post(url, data=request_body(number), headers=HEADERS) as response:
                body = await response.read()
            response.raise_for_status()
            tokens += orjson.loads(body)["usage"]["completion_tokens"]
        return tokens

    return sum(await asyncio.gather(*(call_in_turn() for _ in range(in_flight))))


if __name__ == "__main__":
    address, *counts = sys.argv[1:]
    child.reply(asdict(uvloop.run(_measure(address + PATH, *map(int, counts)))))
