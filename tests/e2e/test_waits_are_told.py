"""Whatever holds a pool up is told: by the batch, by the command and in the worker's log."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.environment import scrubbed
from tests.support.eventually import eventually
from tests.support.system import ROOT, System, configuration, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

TOLD_WITHIN_S = 10.0

UNREACHABLE = """
[providers.gone]
protocol = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["gone-*"]
"""


@pytest.fixture(scope="module")
def system(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One machine with the simulator and a provider that nothing answers for."""
    with running_system(tmp_path_factory.mktemp("waits"), shared_simulator.url) as system:
        system.config.write_text(configuration(shared_simulator.url) + UNREACHABLE)
        system.start_up()
        yield system


def shown(system: System, batch_id: str) -> str:
    """What `tidemill show` prints of a batch."""
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "scripts.command", "show", batch_id],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=scrubbed(os.environ) | system.client_environment() | {"COLUMNS": "400"},
        text=True,
        timeout=30,
    ).stdout


def wait_is_told(system: System, batch_id: str, *words: str) -> None:
    """Return once the batch and the command tell it, and once a worker's log does."""
    *_, code = words

    def is_told() -> bool:
        said = system.batch(batch_id)["waiting_for"] or ""
        return all(word in said for word in words)

    eventually(is_told, TOLD_WITHIN_S, f"the batch waits: {words}")

    def is_shown() -> bool:
        return all(word in shown(system, batch_id) for word in ("waiting for", *words))

    eventually(is_shown, TOLD_WITHIN_S, f"`show` tells it: {words}")
    complaint = f"pool {words[0]} is held up by {code}"
    logs = [text for name, text in system.logs() if name.startswith("worker")]
    assert any(complaint in log for log in logs), logs


def test_a_provider_that_can_not_be_reached(system: System) -> None:
    batch_id = system.submit(lines(3, model="gone-1"))
    wait_is_told(system, batch_id, "gone/main", "connect_failed")
    assert system.batch(batch_id)["counts"]["failed"] == 0
    assert "127.0.0.1" not in system.batch(batch_id)["waiting_for"]
    system.act(batch_id, "cancel")
    assert system.wait(batch_id)["counts"]["cancelled"] == 3


@pytest.mark.parametrize(
    ("status", "code"), [("503", "overloaded"), ("401", "authentication_failed")]
)
def test_a_provider_that_refuses_all_calls_and_then_works_again(
    system: System, simulator: "Simulator", status: str, code: str
) -> None:
    simulator.faults({"kind": status})
    batch_id = system.submit(lines(20))

    wait_is_told(system, batch_id, "openai/main", code)
    refused = simulator.ledger()["requests"]
    assert refused <= 20 + 1  # what was under way, and a probe; not one try after the other
    simulator.faults()

    batch = system.wait(batch_id, 30.0)
    assert batch["counts"]["succeeded"] == 20
    assert batch["waiting_for"] is None
