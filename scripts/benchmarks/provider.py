"""The simulated provider of a measurement, and its own account of what it was asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from jobs.errors import ServiceUnavailable
from scripts.benchmarks import child
from scripts.benchmarks.workload import OUTPUT_TOKENS

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Provider:
    """A running simulator; `url` is its address without a path."""

    url: str
    client: httpx.Client

    def ledger(self) -> dict[str, Any]:
        """Return the summary of what it was asked since the last `forget`."""
        summary: dict[str, Any] = self.client.get("/_sim/ledger").raise_for_status().json()
        return summary

    def forget(self) -> None:
        """Empty its ledger."""
        self.client.post("/_sim/reset").raise_for_status()


@contextmanager
def running_provider(latency: str, *more: str) -> Iterator[Provider]:
    """Run a simulator with this latency, and more options in its own words, on a free port."""
    arguments = ("--latency", latency, "--output-tokens", OUTPUT_TOKENS, *more)
    with child.started("scripts.simulator", *arguments) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        if not ready:
            raise ServiceUnavailable("the simulator did not start")
        url = orjson.loads(ready)["url"]
        with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
            yield Provider(url, client)
