"""The broker forgets, the broker dies, the beat dies: it costs seconds, never a job."""

import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest
import redis

from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result
from tests.support.processes import ProcessUnderTest
from tests.support.redis_servers import OwnRedis, redis_binary
from tests.support.system import Json, System, finished, lines, running_system, wait_for_log

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 1_500
SLICE_SIZE = 10
SLOTS = 8
"""Far fewer slices are open than there are, so that most of them are messages or not even that."""

IN_FLIGHT = 60
LOST_MESSAGES_FOUND_WITHIN_S = 10.0
HANGS_S = 18.0
"""Longer than a consumer waits for an answer, and than a lease lives without its renewal."""

ACCEPTED_WITHIN_S = 8.0
REFUSES_S = 5.0
"""Long enough for every part to meet the refusal: a consumer, a sweep, an acknowledgement."""


@pytest.fixture(scope="module")
def broker(
    tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[OwnRedis]:
    """A Redis that is the module's own: the broker and the gate's memory."""
    binary = redis_binary()
    if binary is None:
        missing("no redis-server on the PATH and no Valkey for this system")
    folder = tmp_path_factory.mktemp("redis")
    servers: list[ProcessUnderTest] = []

    def start(argv: list[str]) -> ProcessUnderTest:
        servers.append(ProcessUnderTest(argv, folder / f"{len(servers)}.log", cwd=folder))
        return servers[-1]

    yield OwnRedis(start, binary)
    for server in servers:
        server.clear_away()


@pytest.fixture(scope="module")
def system(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory, broker: OwnRedis
) -> Iterator[System]:
    with running_system(
        tmp_path_factory.mktemp("parts"),
        shared_simulator.url,
        TIDEMILL_BROKER_URL=broker.url,
        TIDEMILL_MAX_IN_FLIGHT=str(IN_FLIGHT),
        TIDEMILL_SLICE_SIZE=str(SLICE_SIZE),
    ) as system:
        system.start_api()
        system.start_beat()
        system.start_worker(slots=SLOTS)
        yield system


@pytest.fixture
def batch_id(system: System, simulator: "Simulator") -> str:
    """A batch that has just begun, with work for some ten seconds."""
    simulator.faults(latency="constant:300")
    batch_id = system.submit(lines(JOBS))
    system.wait_finished(batch_id, 100)
    return batch_id


def assert_nothing_was_lost(system: System, simulator: "Simulator", batch_id: str) -> None:
    batch = system.wait(batch_id, 40.0)
    assert batch["state"] == "completed"
    assert batch["unknown_attempts"] == 0
    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    books_agree(system, batch, simulator)
    assert simulator.ledger()["answered"] == JOBS


def test_a_flushed_broker_costs_seconds(
    system: System, simulator: "Simulator", broker: OwnRedis, batch_id: str
) -> None:
    broker.flush()
    after = finished(system.batch(batch_id)) + SLOTS * SLICE_SIZE + 1
    system.wait_finished(batch_id, after, LOST_MESSAGES_FOUND_WITHIN_S)
    assert_nothing_was_lost(system, simulator, batch_id)


def test_a_broker_that_dies_and_comes_back_empty_costs_seconds(
    system: System, simulator: "Simulator", broker: OwnRedis, batch_id: str
) -> None:
    broker.kill(signal.SIGKILL)
    system.wait_until(
        batch_id, lambda batch: batch["counts"]["running"] == 0, 10.0, "calls in flight have ended"
    )
    before = finished(system.batch(batch_id))
    assert before < JOBS
    accepted_meanwhile = system.submit(lines(SLICE_SIZE, prefix="meanwhile"))

    broker.start()

    system.wait_finished(batch_id, before + 1, LOST_MESSAGES_FOUND_WITHIN_S)
    assert system.wait(accepted_meanwhile, 40.0)["state"] == "completed"
    batch = system.wait(batch_id, 40.0)
    assert batch["unknown_attempts"] == 0
    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    assert simulator.ledger()["answered"] == JOBS + SLICE_SIZE


def test_while_the_broker_is_gone_batches_say_so_and_what_is_cancelled_ends(
    system: System, broker: OwnRedis
) -> None:
    broker.kill(signal.SIGKILL)
    waiting, cancelled = (
        system.submit(lines(SLICE_SIZE, prefix=prefix)) for prefix in ("waiting", "cancelled")
    )

    def is_told(batch: Json) -> bool:
        return (batch["waiting_for"] or "").startswith("the broker ")

    system.wait_until(waiting, is_told, 10.0, "it waits for the broker")
    system.act(cancelled, "cancel")
    assert system.wait(cancelled, 30.0)["state"] == "cancelled"
    assert is_told(system.batch(waiting))

    broker.start()

    batch = system.wait(waiting, 40.0)
    assert (batch["state"], batch["waiting_for"]) == ("completed", None)


def test_a_broker_that_hangs_holds_up_no_submission_and_is_consumed_again_when_it_answers(
    system: System, simulator: "Simulator", broker: OwnRedis, batch_id: str
) -> None:
    broker.freeze()
    try:
        began = time.monotonic()
        accepted_meanwhile = system.submit(lines(SLICE_SIZE, prefix="meanwhile"))
        assert time.monotonic() - began < ACCEPTED_WITHIN_S
        time.sleep(HANGS_S)
        assert finished(system.batch(batch_id)) < JOBS
    finally:
        broker.thaw()
    system.wait_finished(accepted_meanwhile, SLICE_SIZE, 40.0)
    batch = system.wait(batch_id, 40.0)
    assert batch["unknown_attempts"] == 0
    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    assert simulator.ledger()["answered"] == JOBS + SLICE_SIZE


@pytest.mark.parametrize(
    ("refuse", "allow"),
    [
        (("CONFIG SET", "maxmemory", "1"), ("CONFIG SET", "maxmemory", "0")),
        (
            ("CONFIG SET", "min-replicas-to-write", "1"),
            ("CONFIG SET", "min-replicas-to-write", "0"),
        ),
        (("REPLICAOF", "127.0.0.1", "9"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["its memory is full", "it refuses as for a full disk", "it became a replica"],
)
def test_a_broker_that_takes_no_writes_ends_no_process_and_is_waited_for(
    system: System,
    simulator: "Simulator",
    broker: OwnRedis,
    batch_id: str,
    refuse: tuple[str, ...],
    allow: tuple[str, ...],
) -> None:
    running = [process for process in system.processes if process.exit_status is None]
    with redis.Redis.from_url(broker.url) as client:
        client.execute_command(*refuse)
        try:
            system.wait_until(
                batch_id, lambda batch: batch["counts"]["running"] == 0, 10.0, "calls have ended"
            )
            time.sleep(REFUSES_S)
            assert finished(system.batch(batch_id)) < JOBS
        finally:
            client.execute_command(*allow)

    assert_nothing_was_lost(system, simulator, batch_id)
    assert [process.name for process in running if process.exit_status is not None] == []


def test_without_the_beat_work_goes_on_and_a_new_one_finds_what_was_lost_meanwhile(
    system: System, simulator: "Simulator", broker: OwnRedis, batch_id: str
) -> None:
    (beat,) = (process for process in system.processes if process.name.startswith("beat"))
    beat.kill(signal.SIGKILL)
    beat.wait_ended()
    system.wait_finished(batch_id, 400)  # workers feed one another
    broker.flush()

    system.start_beat()

    assert_nothing_was_lost(system, simulator, batch_id)


def test_a_worker_with_free_slots_outlives_its_broker_and_keeps_its_slices(
    system: System, simulator: "Simulator", broker: OwnRedis
) -> None:
    (worker,) = (process for process in system.processes if process.name.startswith("worker"))
    simulator.faults(latency="constant:3000")
    jobs = (SLOTS // 2) * SLICE_SIZE
    held = system.submit(lines(jobs))
    system.wait_until(
        held, lambda batch: batch["counts"]["running"] > 0, 10.0, "calls are in flight"
    )

    broker.kill(signal.SIGKILL)
    wait_for_log(worker, "Connection to broker lost", 10.0)
    broker.start()

    simulator.faults()
    batch = system.wait(held, 20.0)
    assert (batch["state"], batch["unknown_attempts"]) == ("completed", 0)
    assert system.wait(system.submit(lines(jobs, prefix="next")), 20.0)["state"] == "completed"
    assert worker.exit_status is None
    assert "Unrecoverable" not in worker.log()
    assert simulator.ledger()["answered"] == 2 * jobs
