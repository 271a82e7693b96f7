"""The client for programs against a running system: its page, and what the page only says."""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from scripts.fault_injection.proxy import Behaviour, Link, Mode, behaving
from tests.support.eventually import eventually_async
from tests.support.system import ROOT, SMALL, System, lines
from tidemill import AsyncTidemill, Conflict, NotAuthorised, Tidemill

pytest_plugins = ("tests.support.simulator",)

WITHIN_S = 60.0


class Frame:
    """Rows as polars gives them."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.columns = list(rows[0])

    def __len__(self) -> int:
        return len(self.rows)

    def iter_rows(self, *, named: bool) -> Iterator[dict[str, Any]]:
        assert named
        return iter(self.rows)


@pytest.fixture
def client(one_machine: System) -> Iterator[Tidemill]:
    with Tidemill(one_machine.url, one_machine.key) as client:
        yield client


def page_of(name: str, language: str, system: System) -> str:
    """Return the code of a page, as it stands but for who is asked and for what."""
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    code = "\n".join(re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL))
    for word, ours in {
        "http://127.0.0.1:8080": system.url,
        "YOUR_TIDEMILL_KEY": system.key,
        "gpt-4o-mini": SMALL,
    }.items():
        assert word in code
        code = code.replace(word, ours)
    return code


def test_the_page_about_it_runs_as_it_stands(
    one_machine: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = page_of("client.md", "python", one_machine)
    rows = [{"custom_id": "f1", "prompt": "Hello", "max_tokens": None}]
    (tmp_path / "jobs.jsonl").write_text(json.dumps({"custom_id": "l1", "prompt": "Hello"}))
    monkeypatch.chdir(tmp_path)
    shown: list[str] = []
    names: dict[str, Any] = {
        "print": lambda *words: shown.append(" ".join(map(str, words))),
        "frame": Frame(rows),
        "BaseModel": pydantic.BaseModel,
        "__name__": "page",
    }
    exec(compile(code, "docs/client.md", "exec"), names)  # noqa: S102
    assert sum("title-3 succeeded" in line for line in shown) == 1
    assert any(line.startswith("20 calls, 0.") for line in shown), shown
    assert "True" in shown
    assert "completed 1 0.0" in next(line for line in shown if line.startswith("completed"))[:15]
    assert any("from a DataFrame" in line for line in shown), shown
    assert any(line.startswith("invalid_jobs 1 max_tokens") for line in shown)
    assert any(line.startswith("NotFound 404") for line in shown)


def test_the_page_about_http_runs_as_it_stands(one_machine: System, tmp_path: Path) -> None:
    code = page_of("http.md", "sh", one_machine)
    run = subprocess.run(  # noqa: S603 - the page
        ["/bin/bash", "-euo", "pipefail", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert "304\n" in run.stdout
    results = (tmp_path / "results.jsonl").read_bytes()
    pages = [(tmp_path / name).read_bytes() for name in ("first.jsonl", "rest.jsonl")]
    assert b"".join(pages) == results
    assert results.count(b'"succeeded"') == 2


def test_results_come_while_the_batch_runs_and_once_each(client: Tidemill) -> None:
    batch = client.submit(lines(500), name="live")
    first = client.results(batch)
    taken = [next(first).custom_id for _ in range(100)]
    rest = [result.custom_id for result in client.results(batch, after=first.cursor)]
    assert len(taken) + len(rest) == len({*taken, *rest}) == 500
    in_order = [result.seq for result in client.results(batch.id, order="input")]
    assert in_order == sorted(in_order)
    ended = client.get(batch)
    assert ended.is_final
    assert sum(r.cost_usd or 0 for r in client.results(batch, follow=False)) == ended.cost_usd
    assert [found.id for found in client.batches(page_size=1)].count(batch.id) == 1
    assert client.usage("outcome").total.attempts >= 500


def test_a_batch_is_steered(client: Tidemill) -> None:
    batch = client.submit(lines(2000, prefix="steer"))
    assert client.pause(batch).state in {"paused", "completed"}
    with pytest.raises(TimeoutError, match=r"of 2,000 jobs done.* it runs on"):
        client.wait(batch, timeout_s=0.1)
    assert client.set_max_cost(batch, "7.5").max_cost_usd == 7.5
    assert client.resume(batch).state in {"running", "queued"}
    client.cancel(batch)
    ended = client.wait(batch, progress=True)
    assert (ended.state, ended.counts.finished) == ("cancelled", 2000)
    with pytest.raises(Conflict) as caught:
        client.pause(batch)
    assert (caught.value.code, caught.value.fix) == ("illegal_transition", "look at the batch")
    again = client.wait(client.retry(ended, name="again"))
    assert (again.retry_of, again.counts.succeeded) == (ended.id, 2000)


def test_a_wrong_key_is_told(one_machine: System) -> None:
    with Tidemill(one_machine.url, "tm_wrong") as client, pytest.raises(NotAuthorised) as caught:
        client.submit(lines(1))
    assert (caught.value.status, caught.value.code) == (401, "unauthorised")


async def fail_once(link: Link, behaviour: Behaviour) -> None:
    """Let the link fail until somebody has met it."""

    async def is_met() -> bool:
        return link.met > 0

    async with behaving([link], behaviour):
        await eventually_async(is_met, WITHIN_S, "the failing link is met")


async def test_on_a_failing_link_every_job_is_sent_once_and_every_result_read_once(
    one_machine: System,
) -> None:
    link, jobs = Link(one_machine.port), 3000
    cut, reset = Behaviour(Mode.TRUNCATE, after_bytes=20_000), Behaviour(Mode.RESET)
    await link.open()
    try:
        async with AsyncTidemill(f"http://127.0.0.1:{link.port}", one_machine.key) as client:
            trouble = asyncio.create_task(fail_once(link, reset))
            batch = await client.submit(lines(jobs, prefix="link"), name="by a failing link")
            await trouble
            seen: list[str] = []
            troubles = []
            async for result in client.results(batch):
                if len(seen) in {1, 1001}:
                    behaviour = cut if len(seen) == 1 else reset
                    troubles.append(asyncio.create_task(fail_once(link, behaviour)))
                seen.append(result.custom_id)
            await asyncio.gather(*troubles)
            named = [found.name async for found in client.batches()]
    finally:
        await link.close()
    assert len(troubles) == 2
    assert len(seen) == len(set(seen)) == jobs
    assert named.count("by a failing link") == 1


async def test_asyncio_has_the_same(one_machine: System) -> None:
    async with AsyncTidemill(one_machine.url, one_machine.key) as client:
        batches = await asyncio.gather(
            *(client.submit(lines(50, prefix=f"async-{n}")) for n in range(3))
        )
        for batch in batches:
            ids = [result.custom_id async for result in client.results(batch)]
            assert len(ids) == len(set(ids)) == 50
        listed = [found.id async for found in client.batches(page_size=2)]
        assert {batch.id for batch in batches} <= set(listed)
        in_order = [result.seq async for result in client.results(batches[0], order="input")]
        assert in_order == list(range(50))
        assert (await client.wait(batches[0])).is_final
        assert (await client.quote(lines(3))).calls == 3
