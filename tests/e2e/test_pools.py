"""What the gate tells about the pools: by HTTP and by the command, while it works and while it can't."""

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.eventually import eventually
from tests.support.system import ROOT, System, lines

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)


def pools(system: System) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = system.http.get("/api/pools").raise_for_status().json()["data"]
    return found


def test_pools_need_a_key(one_machine: System) -> None:
    assert httpx.get(f"{one_machine.url}/api/pools").status_code == 401


def test_a_pool_says_what_blocks_it_and_that_it_is_open_again(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "401", "wait_s": 1.0})
    batch_id = one_machine.submit(lines(20))

    blocked, *_ = eventually(
        lambda: [pool for pool in pools(one_machine) if pool["reason"] and not pool["models"]], 20.0
    )
    assert blocked["breaker"] in {"open", "probing"}
    assert "401" in blocked["reason"]
    shown = subprocess.run(
        [sys.executable, "-m", "scripts.command", "pools"],
        cwd=ROOT,
        env=one_machine.client_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "401" in " ".join(shown.split())

    simulator.faults()
    one_machine.wait(batch_id)
    eventually(lambda: all(p["reason"] is None for p in pools(one_machine)), 20.0)
