"""One run: work is submitted, faults happen, then everything is left in peace and looked through."""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import httpx
import orjson

from jobs.errors import ServiceUnavailable
from scripts.fault_injection.arguments import Options
from scripts.fault_injection.kinds import Kind, deal
from scripts.fault_injection.recovery import aftermaths
from scripts.fault_injection.rig import Rig, running_rig
from scripts.fault_injection.run import Run
from scripts.fault_injection.strikes import Striker
from scripts.fault_injection.submissions import Submissions
from scripts.fault_injection.verdict import Accounts, is_at_rest, judge

STUCK_AFTER_S = 90.0
"""Without a new result for so long, nothing comes any more: leases, doubts and breakers take 30 s."""

LATE_S = 60.0
"""How long after the time is up it is tried to make every kind happen."""

LOOK_EVERY_S = 0.5
ROWS_PER_PAGE = 1000

Say = Callable[[str], None]
Json = dict[str, Any]


async def run_trial(options: Options, say: Say, leave: Callable[[Rig], None]) -> Run:
    """Let it happen, once; `leave` is called with the rig before that is cleared away.

    Raises:
        ServiceUnavailable: something does not start.
        ConfigurationError: a server's program is missing.
    """
    say("starting the system")
    async with running_rig(options) as rig:
        headers = {"authorization": f"Bearer {rig.key}"}
        # A connection of its own for each request: after a fault none is worth keeping.
        limits = httpx.Limits(max_keepalive_connections=0)
        try:
            async with httpx.AsyncClient(
                base_url=rig.url, headers=headers, timeout=20.0, limits=limits, trust_env=False
            ) as client:
                return await _Trial(options, rig, client, say).run()
        finally:
            leave(rig)


class _Trial:
    def __init__(self, options: Options, rig: Rig, client: httpx.AsyncClient, say: Say) -> None:
        self._options = options
        self._rig = rig
        self._client = client
        self._say = say
        random = Random(options.seed)  # noqa: S311 - repeatable on purpose
        self._striker = Striker(rig, random)
        self._deck = deal(options.kinds, random)
        self._submissions = Submissions(options)
        self._began_at = time.time()

    async def run(self) -> Run:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._submissions.send_all(self._client))
                await self._inject(group)
        except ExceptionGroup as several:
            raise several.exceptions[0] from several
        finding = await self._until_at_rest()
        took_s = time.time() - self._began_at
        self._say("comparing the accounts")
        accounts = await self._accounts()
        verdict = judge(accounts)
        if finding is not None:
            verdict.findings.append(finding)
        happened = self._happened()
        after = aftermaths(
            self._striker.strikes, accounts.calls, self._rig.calls_s, self._ledger_began_at()
        )
        return Run(
            options=self._options,
            verdict=verdict,
            never=tuple(kind for kind in self._options.kinds if not happened[kind]),
            aftermaths=after,
            ends=self._rig.fleet.ends,
            peak_bytes=self._rig.fleet.peak_bytes,
            tries=self._submissions.tries,
            began_at=self._began_at,
            took_s=took_s,
        )

    async def _inject(self, group: asyncio.TaskGroup) -> None:
        """Begin a fault every few seconds until the time is up; the group ends with their ends.

        A kind that could not happen by then, because others had hold of what it needs, happens after.
        """
        loop = asyncio.get_running_loop()
        await self._until_something_is_done()
        ends_at = loop.time() + self._options.lasts_s
        gives_up_at = ends_at + LATE_S
        due: deque[Kind] = deque()  # such as met nothing, to be tried again before others
        while (now := loop.time()) < ends_at or (now < gives_up_at and self._missing()):
            late = None if now < ends_at else self._missing()
            if (kind := self._next(due) if late is None else self._first_free(late)) is not None:
                group.create_task(self._strike(kind, due))
            self._say_progress(f"{max(0.0, ends_at - now):.0f} s left, {kind or 'nothing'}")
            await asyncio.sleep(self._options.every_s)

    def _next(self, due: deque[Kind]) -> Kind | None:
        """Return a kind that can happen now, such as are due before others; None if all must wait."""
        if (kind := self._first_free(due)) is not None:
            due.remove(kind)
            return kind
        for _ in self._options.kinds:
            if self._striker.can(kind := next(self._deck)):
                return kind
            due.append(kind)
        return None

    def _first_free(self, kinds: Iterable[Kind]) -> Kind | None:
        return next((kind for kind in kinds if self._striker.can(kind)), None)

    def _missing(self) -> list[Kind]:
        happened = self._happened()
        return [kind for kind in self._options.kinds if not happened[kind]]

    def _happened(self) -> Counter[Kind]:
        return Counter(strike.kind for strike in self._striker.strikes)

    async def _strike(self, kind: Kind, due: deque[Kind]) -> None:
        if not await self._striker.strike(kind):
            due.append(kind)

    async def _until_something_is_done(self) -> None:
        while not self._answered():
            self._say("waiting for the first answer")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _until_at_rest(self) -> str | None:
        """Return once all batches have ended; what is wrong if that does not happen."""
        finished, news_at = -1, time.monotonic()
        batches: list[Json] = []
        while time.monotonic() - news_at < STUCK_AFTER_S:
            with contextlib.suppress(httpx.HTTPError, ServiceUnavailable):
                batches = await self._batches()
                if all(map(is_at_rest, batches)):
                    return None
            done = sum(
                batch["counts"]["succeeded"] + batch["counts"]["failed"] for batch in batches
            )
            if done > finished:
                finished, news_at = done, time.monotonic()
            self._say_progress("in peace")
            await asyncio.sleep(LOOK_EVERY_S)
        waiting = [
            f"{batch['name']} is {batch['state']}, {batch['counts']}: {batch['waiting_for']}"
            for batch in batches
            if not is_at_rest(batch)
        ]
        return f"no result for {STUCK_AFTER_S:g} s: {'; '.join(waiting)}"

    def _say_progress(self, what: str) -> None:
        self._say(
            f"seed {self._options.seed}: {what}; {self._answered():,} answers for "
            f"{self._options.jobs:,} jobs, {len(self._striker.strikes)} faults"
        )

    def _answered(self) -> int:
        answered: int = self._simulator("/_sim/ledger")["answered"]
        return answered

    def _simulator(self, path: str) -> Json:
        reply = self._rig.provider.client.get(path).raise_for_status()
        document: Json = reply.json()
        return document

    async def _batches(self) -> list[Json]:
        page = await self._get("/api/batches", limit=1000)
        found: list[Json] = orjson.loads(page.content)["data"]
        return found

    async def _get(self, path: str, **params: str | int) -> httpx.Response:
        reply = await self._client.get(path, params=params)
        if not reply.is_success:
            raise ServiceUnavailable(f"{path} is answered with {reply.status_code}: {reply.text}")
        return reply

    async def _accounts(self) -> Accounts:
        batches = await self._batches()
        usage = await self._get("/api/usage", by="outcome")
        rows = self._rig.provider.client.get("/_sim/ledger/rows").raise_for_status()
        return Accounts(
            accepted=self._submissions.accepted,
            batches=batches,
            results={batch["id"]: await self._results(batch["id"]) for batch in batches},
            attempts=[one for batch in batches for one in await self._attempts(batch["id"])],
            ledger_total=usage.json()["total"],
            calls=[orjson.loads(line) for line in rows.content.splitlines()],
            strikes=self._striker.strikes,
        )

    async def _results(self, batch_id: str) -> list[Json]:
        found: list[Json] = []
        after = 0
        while True:
            page = await self._get(
                f"/api/batches/{batch_id}/results",
                order="finished",
                after=after,
                limit=ROWS_PER_PAGE,
            )
            lines = [orjson.loads(line) for line in page.content.splitlines()]
            found += lines
            if len(lines) < ROWS_PER_PAGE:
                return found
            after = int(page.headers["x-next-cursor"])

    async def _attempts(self, batch_id: str) -> list[Json]:
        found: list[Json] = []
        cursor: dict[str, str] = {}
        while True:
            path = f"/api/batches/{batch_id}/attempts"
            page: Json = orjson.loads(
                (await self._get(path, limit=ROWS_PER_PAGE, **cursor)).content
            )
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    def _ledger_began_at(self) -> float:
        """Return the Unix time at which the clock of the provider's ledger was at zero."""
        now_s: float = self._simulator("/_sim/ledger/rate")["now_s"]
        return time.time() - now_s
