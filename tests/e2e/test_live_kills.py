"""An API that is killed in live calls loses no money, and nobody makes those calls again."""

from signal import SIGTERM
from threading import Thread
from typing import TYPE_CHECKING, Any

import openai
import pytest

from jobs.states import BatchState
from tests.support.crash_judge import everything_is_done
from tests.support.eventually import eventually
from tests.support.live import asked, live_batch, openai_client
from tests.support.system import System

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

SWEPT_WITHIN_S = 30.0
"""A lease, a sweep, and a slow machine."""

CAP_USD = "1"


@pytest.mark.timeout(180)
def test_an_api_killed_in_mid_stream_leaves_unknown_calls_and_balanced_books(
    spread_system: System, simulator: "Simulator"
) -> None:
    system = spread_system
    system.http.patch("/api/budget", json={"daily_usd": CAP_USD}).raise_for_status()
    with openai_client(system) as client:
        client.chat.completions.create(**asked("before"))
        simulator.faults(latency="constant:20000")
        kill_in_two_calls(system, simulator, client)
    eventually(
        lambda: live_batch(system).state == BatchState.COMPLETED,
        SWEPT_WITHIN_S,
        "the sweep has ended the batch of live calls",
    )
    batch, ledger = live_batch(system), simulator.ledger()
    assert (batch.succeeded, batch.failed, batch.unknown_attempts) == (1, 2, 2)
    assert (ledger["requests"], ledger["answered"]) == (3, 1)
    assert batch.spent_nanos >= ledger["cost_nanos"] + ledger["unanswered_cost_nanos"]

    simulator.faults(latency="constant:0")
    api = system.start_api()
    with openai_client(system) as client:
        assert client.chat.completions.create(**asked("after")).choices
    after = live_batch(system)
    assert (after.ref != batch.ref, after.succeeded, after.reserved_nanos) == (True, 1, 0)
    assert simulator.ledger()["requests"] == 4
    api.kill(SIGTERM)
    assert api.wait_ended() == 0
    with system.database() as database:
        everything_is_done(database)


def kill_in_two_calls(system: System, simulator: "Simulator", client: Any) -> None:
    """Kill the API while one call is streamed and another one waits for its answer."""
    heard = client.chat.completions.create(**asked("streamed"), stream=True)
    next(iter(heard))
    plain = Thread(target=lose, args=(system,))
    plain.start()
    eventually(lambda: simulator.ledger()["in_flight"] == 2, what="both are in flight")
    api = system.processes[0]
    api.kill()
    api.wait_ended()
    with pytest.raises(openai.APIConnectionError):
        list(heard)
    plain.join()


def lose(system: System) -> None:
    with openai_client(system) as client, pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**asked("plain"))
