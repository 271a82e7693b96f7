"""The batch APIs against the simulator, which knows nothing of us, and against the ways it fails.

Its ledger says what was billed, so a native batch that was made twice would be seen.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from jobs.clock import utcnow
from jobs.configuration import ProtocolName
from jobs.errors import MalformedReply, ProviderError, RateLimited, RequestRejected
from jobs.exchange import Answer, Message, ModelRequest
from tests.support.eventually import eventually_async
from tests.support.recorded import lane_at
from workers.lanes.wire import End, NativeBatches, NativeLine, Order, Remote, may_have_created

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

KEY = SecretStr("sk-lane")
MODEL = "sim-small"
TAG = "nb-test"

VERSIONS = {
    ProtocolName.OPENAI: "/v1",
    ProtocolName.ANTHROPIC: "/anthropic/v1",
    ProtocolName.GEMINI: "/gemini/v1beta",
    ProtocolName.MISTRAL: "/mistral/v1",
}
QUICK = {"takes_s": 0.1, "validates_s": 0.05, "finalizes_s": 0.05, "cancels_s": 0.1}
SLOW = {**QUICK, "takes_s": 600.0}


@dataclass
class Site:
    """One of the simulator's batch APIs, and what is sent there."""

    batches: NativeBatches
    folder: Path

    def order(self, count: int = 6, tag: str = TAG) -> Order:
        """Return an order of as many lines."""
        spool = self.folder / f"{tag}.lines"
        requests = [ModelRequest((Message("user", f"Say {no}"),), 20) for no in range(count)]
        spool.write_bytes(
            b"".join(
                self.batches.line(f"{tag}-{no}", MODEL, request) + b"\n"
                for no, request in enumerate(requests)
            )
        )
        endpoint = self.batches.endpoint(requests[0])
        return Order(tag, MODEL, endpoint, spool, count, spool.stat().st_size)

    async def send(self, order: Order) -> Remote:
        """Upload and create."""
        return await self.batches.create(KEY, order, await self.batches.upload(KEY, order))

    async def ended(self, remote: Remote) -> Remote:
        """Return it once it has ended."""

        async def look() -> Remote | None:
            seen = await self.batches.look(KEY, remote.id)
            return seen if seen.is_ended else None

        seen = await eventually_async(look)
        assert seen is not None
        return seen

    async def results(self, remote: Remote) -> list[NativeLine]:
        """Return all lines."""
        return [line async for line in self.batches.results(KEY, remote)]


@pytest.fixture(params=ProtocolName)
async def site(
    request: pytest.FixtureRequest, simulator: "Simulator", tmp_path: Path
) -> AsyncIterator[Site]:
    """Each of the batch APIs, quick unless it is changed."""
    simulator.faults(batches=QUICK)
    protocol: ProtocolName = request.param
    async with lane_at(simulator.url + VERSIONS[protocol], protocol) as batches:
        yield Site(batches, tmp_path)


def billed(simulator: "Simulator") -> int:
    """Return how many lines of batches the simulator has charged for."""
    return sum(row["lane"] == "batch" for row in simulator.rows())


async def test_a_native_batch_is_answered_line_by_line(site: Site, simulator: "Simulator") -> None:
    order = site.order()
    remote = await site.ended(await site.send(order))
    assert (remote.end, remote.done, remote.total) == (End.COMPLETED, 6, 6)
    results = await site.results(remote)
    assert sorted(line.custom_id for line in results) == sorted(f"{TAG}-{no}" for no in range(6))
    for line in results:
        assert isinstance(line.end, Answer)
        assert line.end.usage is not None
        assert line.end.usage.output_tokens > 0
    assert billed(simulator) == 6
    assert await site.results(remote) == results, "read again, they are the same"
    await site.batches.tidy(KEY, remote)
    await site.batches.tidy(KEY, remote)


@pytest.mark.parametrize("kind", ["reset", "500", "429", "html200"])
async def test_a_lost_create_is_found_and_not_made_again(
    site: Site, simulator: "Simulator", kind: str
) -> None:
    fault = {"kind": kind, "at": "create", "done": True, "times": 1}
    simulator.faults(fault, batches={**QUICK, "list_lag_s": 0.3})
    order, since = site.order(), utcnow()
    with pytest.raises(ProviderError) as caught:
        await site.send(order)
    assert may_have_created(caught.value)

    async def find() -> Remote | None:
        return (await site.batches.find(KEY, order, since)).found

    found = await eventually_async(find)
    assert found is not None
    remote = await site.ended(found)
    assert len(await site.results(remote)) == 6
    assert billed(simulator) == 6
    another = site.order(tag="nb-other")
    assert await site.batches.find(KEY, another, since) == (None, 0)
    later = utcnow() + timedelta(days=2)
    assert (await site.batches.find(KEY, order, later, {found.id})).found is None


async def test_a_cancelled_one_keeps_what_it_has(site: Site, simulator: "Simulator") -> None:
    simulator.faults(batches={**QUICK, "stall": 0.5})
    remote = await site.send(site.order())

    async def is_half_done() -> bool:
        return billed(simulator) == 3

    await eventually_async(is_half_done)
    await site.batches.cancel(KEY, remote.id)
    remote = await site.ended(remote)
    assert remote.end is End.CANCELLED
    answers = [line for line in await site.results(remote) if isinstance(line.end, Answer)]
    assert len(answers) == 3
    await site.batches.cancel(KEY, remote.id)


async def test_lies_are_seen_and_told(site: Site, simulator: "Simulator") -> None:
    simulator.faults(batches={**QUICK, "doubled": 1.0, "foreign": 2, "cut": True})
    results = await site.results(await site.ended(await site.send(site.order())))
    ours = [line for line in results if line.custom_id.startswith(f"{TAG}-")]
    assert {line.custom_id for line in ours} == {f"{TAG}-{no}" for no in range(6)}
    assert any(isinstance(line.end, MalformedReply) for line in results)
    assert len(results) > len(ours) > 6


async def test_a_line_that_fails_is_told_as_a_live_call_would_be(
    site: Site, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "400", "at": "line", "times": 1}, batches=QUICK)
    results = await site.results(await site.ended(await site.send(site.order())))
    assert sum(isinstance(line.end, RequestRejected) for line in results) == 1
    assert sum(isinstance(line.end, Answer) for line in results) == 5


async def test_a_full_queue_can_be_tried_again_later(site: Site, simulator: "Simulator") -> None:
    simulator.faults(batches={**QUICK, "enqueued_tokens": 1})
    try:
        failure: ProviderError | None = (await site.ended(await site.send(site.order()))).failure
    except ProviderError as error:
        failure = error
    assert isinstance(failure, RateLimited)
