"""For comparison: a client process that paces itself with a plain token bucket, as scripts usually do.

`python -m scripts.benchmarks.plain_bucket URL LIMIT_PER_MINUTE calls|tokens SECONDS`. The bucket holds
a second of its rate. A 429 is tried again after what it asks for, or a second.
"""

import asyncio
import sys
import time

import aiohttp
import uvloop

from scripts.benchmarks.bare_loop import HEADERS, PATH
from scripts.benchmarks.workload import LINE_BYTES, MAX_TOKENS, request_body

CALLERS = 300
ESTIMATED_TOKENS = max(MAX_TOKENS, LINE_BYTES // 4)
"""By four characters a token, as is usual; what the provider takes up front."""


class Bucket:
    """So much per second, a second of it at once; for one event loop."""

    def __init__(self, rate_s: float) -> None:
        self._rate_s = rate_s
        self._level = rate_s
        self._at = time.monotonic()

    async def take(self, cost: float) -> None:
        """Return once `cost` has been taken."""
        while True:
            now = time.monotonic()
            self._level = min(self._rate_s, self._level + (now - self._at) * self._rate_s)
            self._at = now
            if self._level >= cost:
                self._level -= cost
                return
            await asyncio.sleep((cost - self._level) / self._rate_s)


async def _call_all(url: str, bucket: Bucket, cost: float, seconds: float) -> None:
    end = time.monotonic() + seconds
    numbers = iter(range(10_000_000))

    async def call_in_turn(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            status = 429
            while status == 429:
                await bucket.take(cost)
                if time.monotonic() > end:
                    return
                body = request_body(number)
                async with session.post(url, data=body, headers=HEADERS) as response:
                    await response.read()
                    status = response.status
                    wait_s = float(response.headers.get("retry-after", 1))
                if status == 429:
                    await asyncio.sleep(wait_s)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(call_in_turn(session) for _ in range(CALLERS)))


if __name__ == "__main__":
    address, limit_per_minute, counted, lasts_s = sys.argv[1:]
    per_call = 1.0 if counted == "calls" else float(ESTIMATED_TOKENS)
    own = Bucket(float(limit_per_minute) / 60)
    uvloop.run(_call_all(address + PATH, own, per_call, float(lasts_s)))
