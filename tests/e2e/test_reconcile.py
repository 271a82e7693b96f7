"""What was charged at its worst case becomes what the provider's own account says, by one command."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import text

from tests.e2e.judging import attempts_of, each_job_has_one_result, nanos
from tests.support.system import ROOT, Json, System, lines

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 600
CALL_MS = 300
RECOVERED_WITHIN_S = 60.0
UNBALANCED = 7


def reconcile(system: System, *arguments: str) -> tuple[int, Json]:
    """Run `tidemill reconcile` and return its exit status and what it printed."""
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "scripts.command", "reconcile", *arguments, "--json"],
        cwd=ROOT,
        env=system.client_environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, orjson.loads(done.stdout)


def test_lost_calls_become_exactly_what_the_simulator_billed_for_them(
    spread_system: System, simulator: "Simulator", tmp_path: Path
) -> None:
    simulator.faults(
        {"kind": "reset", "probability": 0.03},
        {"kind": "cut", "probability": 0.03},
        latency=f"constant:{CALL_MS}",
    )
    doomed = spread_system.start_worker("doomed")
    batch_id = spread_system.submit(lines(JOBS))
    spread_system.wait_finished(batch_id, JOBS // 4)
    doomed.kill(signal.SIGKILL)
    spread_system.start_worker("survivor")
    batch = spread_system.wait(batch_id, RECOVERED_WITHIN_S)
    each_job_has_one_result(spread_system, batch_id, JOBS)
    rows = simulator.rows()
    billed_nanos = sum(row["cost_nanos"] for row in rows)
    account = _file(tmp_path / "account.ndjson", rows)

    status, before = reconcile(spread_system, batch_id)
    assert (status, before["balances"]) == (0, True), before
    assert before["unknown"]["attempts"] == batch["unknown_attempts"] > 0
    assert nanos(batch["cost_usd"]) > billed_nanos

    given = (batch_id, "--provider-account", account, "--complete")
    status, found = reconcile(spread_system, *given, "--apply")

    assert (status, found["balances"]) == (0, True), found
    assert found["account"]["corrected"] == batch["unknown_attempts"]
    assert found["unknown"]["attempts"] == found["jobs"]["lost"] == 0
    after = spread_system.batch(batch_id)
    assert nanos(after["cost_usd"]) == billed_nanos
    assert nanos(spread_system.usage()["total"]["cost_usd"]) == billed_nanos
    assert (
        sum(made.cost_nanos or 0 for made in attempts_of(spread_system, batch_id)) == billed_nanos
    )
    assert after["unknown_attempts"] == 0

    status, again = reconcile(spread_system, *given, "--apply")
    assert (status, again["account"]["corrected"]) == (0, 0)

    tampered_accounts_are_told(spread_system, batch_id, rows, tmp_path / "tampered.ndjson")
    a_lost_result_is_told(spread_system, batch_id)


def tampered_accounts_are_told(system: System, batch_id: str, rows: list[Json], path: Path) -> None:
    """Change the account in each way, and ask again."""
    for tamper in TAMPERED:
        tampered = _file(path, tamper([dict(row) for row in rows]))
        status, found = reconcile(system, batch_id, "--provider-account", tampered)
        assert (status, found["balances"]) == (UNBALANCED, False), found


def a_lost_result_is_told(system: System, batch_id: str) -> None:
    """Damage the rows, and ask again."""
    with system.database() as database, database.write() as session:
        session.connection().execute(text("DELETE FROM result WHERE seq = 3"))
    status, found = reconcile(system, batch_id)
    assert (status, found["jobs"]["lost"]) == (UNBALANCED, 1), found
    assert "lost_jobs" in {violation["code"] for violation in found["violations"]}


def _billed(rows: list[Json]) -> Json:
    return next(row for row in rows if row["cost_nanos"])


def _dearer(rows: list[Json]) -> list[Json]:
    _billed(rows)["cost_nanos"] += 1
    return rows


def _longer(rows: list[Json]) -> list[Json]:
    _billed(rows)["output_tokens"] += 1
    return rows


TAMPERED: tuple[Callable[[list[Json]], list[Json]], ...] = (
    _dearer,
    _longer,
    lambda rows: [*rows, _billed(rows)],
    lambda rows: [row for row in rows if row is not _billed(rows)],
)
"""A call that cost more, one that used more, one that nobody made, one that was made and is gone."""


def _file(path: Path, rows: list[Json]) -> str:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return str(path)
