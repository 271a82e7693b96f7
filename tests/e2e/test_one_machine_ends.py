"""How `tidemill up` ends, when it is asked to and when it is killed, and how it begins again."""

import signal
from typing import TYPE_CHECKING

from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.processes import ProcessUnderTest
from tests.support.system import STOPS_WITHIN_S, System, family, is_gone, lines

if TYPE_CHECKING:
    import psutil

    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 3_000


def parts_of(up: ProcessUnderTest) -> "dict[str, psutil.Process]":
    """The processes of an `up`, by name."""
    found = {}
    for process in family(up.pid):
        argv = process.cmdline()
        ours = "scripts.command" in argv
        name = argv[argv.index("scripts.command") + 1] if ours else process.name()
        found[name] = process
    return found


def begin_a_batch(system: System, simulator: "Simulator") -> str:
    simulator.faults(latency="constant:200")
    batch_id = system.submit(lines(JOBS))
    system.wait_finished(batch_id, 100)
    return batch_id


def test_asked_to_stop_it_ends_every_part_with_status_0_and_the_next_one_goes_on(
    own_system: System, simulator: "Simulator"
) -> None:
    up = own_system.start_up("--flower-port", str(own_system.flower_port))
    parts = parts_of(up)
    assert parts.keys() == {"api", "worker", "beat", "flower", "valkey-server"}
    batch_id = begin_a_batch(own_system, simulator)

    up.kill(signal.SIGTERM)

    assert up.wait_ended(STOPS_WITHIN_S) == 0
    assert [name for name, process in parts.items() if not is_gone(process)] == []
    assert up.log().rstrip().endswith("Stopped.")
    answered = simulator.ledger()["answered"]
    assert 100 <= answered < JOBS
    assert simulator.ledger()["requests"] == answered  # what was in flight got its answer

    own_system.start_up()
    batch = own_system.wait(batch_id)

    assert batch["state"] == "completed"
    assert batch["unknown_attempts"] == 0
    each_answer_is_its_jobs(each_job_has_one_result(own_system, batch_id, JOBS))
    books_agree(own_system, batch, simulator)
    assert simulator.ledger()["answered"] == JOBS


def test_killed_it_leaves_no_process_and_the_next_one_goes_on_at_once(
    own_system: System, simulator: "Simulator"
) -> None:
    up = own_system.start_up()
    parts = parts_of(up)
    batch_id = begin_a_batch(own_system, simulator)

    up.kill(signal.SIGKILL)
    up.wait_ended()

    own_system.start_up()
    batch = own_system.wait(batch_id)

    assert batch["state"] == "completed"
    each_answer_is_its_jobs(each_job_has_one_result(own_system, batch_id, JOBS))
    books_agree(own_system, batch, simulator)
    # Its worker was told to finish its calls in flight, and has a grace time for that.
    eventually(lambda: all(map(is_gone, parts.values())), 30.0, "the old parts are gone")


def test_a_second_one_on_a_home_in_use_is_refused_in_one_line(own_system: System) -> None:
    own_system.start_up()

    second = own_system.start("up", "--port", str(free_port()), "--no-flower")

    assert second.wait_ended(20.0) == 2
    said = second.log().strip().splitlines()
    assert "already uses" in " ".join(said)
    assert "Traceback" not in second.log()
    assert own_system.http.get("/readyz").status_code == 200
