"""Who keeps the processes of `scripts/chaos` running: what is told of one that ends by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from scripts.fault_injection.fleet import LAST_LINES, Fleet
from scripts.launcher.part import Part
from tests.support.eventually import eventually_async

WITHIN_S = 10.0


@asynccontextmanager
async def tended(folder: Path, script: str) -> AsyncIterator[Fleet]:
    fleet = Fleet(folder)
    fleet.add(Part("one", ("sh", "-c", script)))
    tending = asyncio.create_task(fleet.tend())
    try:
        yield fleet
    finally:
        tending.cancel()
        with suppress(asyncio.CancelledError):
            await tending
        fleet.stop()


async def test_a_process_that_ends_by_itself_is_noted_with_its_last_lines_and_started_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "one.log").write_text("of another run\n", encoding="utf-8")
    script = "for n in $(seq 30); do echo $n; done; echo; exit 7"
    async with tended(tmp_path, script) as fleet:

        async def both() -> bool:
            return len(fleet.ends) >= 2

        await eventually_async(both, WITHIN_S, "it has ended twice")
        for end in fleet.ends:
            assert (end.name, end.status) == ("one", 7)
            assert end.last_lines == [str(n) for n in range(31 - LAST_LINES, 31)]
            assert end.started_at <= end.ended_at


async def test_only_what_this_process_has_said_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "one.log").write_text("of another run\n", encoding="utf-8")
    async with tended(tmp_path, "kill -SEGV $$") as fleet:

        async def ended() -> bool:
            return bool(fleet.ends)

        await eventually_async(ended, WITHIN_S, "it has ended")
        assert (fleet.ends[0].status, list(fleet.ends[0].last_lines)) == (-11, [])


async def test_who_was_killed_on_purpose_has_not_ended_by_itself(tmp_path: Path) -> None:
    async with tended(tmp_path, "echo up; exec sleep 60") as fleet:
        first = fleet.process_id("one")
        fleet.kill("one")

        async def again() -> bool:
            return fleet.process_id("one") not in (None, first)

        await eventually_async(again, WITHIN_S, "it was started again")
        assert fleet.ends == []

        async def weighed() -> bool:
            return fleet.peak_bytes.get("one", 0) > 0

        await eventually_async(weighed, WITHIN_S, "its memory was looked at")
