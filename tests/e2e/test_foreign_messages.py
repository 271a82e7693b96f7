"""Whoever can write to the broker can put anything into it; workers run none of it and live on."""

import base64
import json
import pickle
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from jobs.queues import CONTROL_QUEUE, RUN_SLICE, SWEEP, make_celery
from jobs.settings import Settings
from tests.support.eventually import eventually
from tests.support.processes import ProcessUnderTest
from tests.support.redis_servers import OwnRedis
from tests.support.system import System, lines, running_system, wait_for_log

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 20

PICKLE = "application/x-python-serialize"
YAML = "application/x-yaml"


class Touch:
    """What runs a program when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def message(body: bytes, content_type: str, *, task: str = RUN_SLICE) -> bytes:
    """A message of Celery's, as kombu writes it to Redis."""
    name = str(uuid.uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": content_type,
            "content-encoding": "binary" if content_type == PICKLE else "utf-8",
            "headers": {"lang": "py", "task": task, "id": name, "root_id": name},
            "properties": {
                "correlation_id": name,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "openai"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": name,
            },
        }
    ).encode()


def hostile(mark: Path) -> list[bytes]:
    """Messages that would leave `mark` if anything of them ran, and some that are none."""
    yaml = f"!!python/object/apply:os.mknod ['{mark}']".encode()
    arguments = json.dumps([["bat_x", "no number", {"a": 1}], {"x": 1}, {}]).encode()
    foreign = json.dumps([[str(mark)], {}, {}]).encode()
    return [
        message(pickle.dumps((("bat_x", 0), {}, Touch(mark))), PICKLE),
        message(pickle.dumps(Touch(mark)), "application/json"),
        message(yaml, YAML),
        message(yaml, "application/json"),
        message(arguments, "application/json"),
        message(b"[" * 100_000, "application/json"),
        message(foreign, "application/json", task="os.mknod"),
        message(b"\xff\xfe", "application/nonsense"),
        b"no envelope",
        b"{}",
        b"[]",
        b"\xff",
        b'{"properties": {}}',
        b"[" * 100_000,
    ]


@pytest.fixture
def system(simulator: "Simulator", own_redis: OwnRedis, tmp_path: Path) -> Iterator[System]:
    """Separate processes on a broker of this test."""
    with running_system(
        tmp_path / "own", simulator.url, TIDEMILL_BROKER_URL=own_redis.url
    ) as system:
        system.start_api()
        yield system


def test_pickle_yaml_and_worse_are_refused_and_the_workers_live_on(
    system: System, own_redis: OwnRedis, tmp_path: Path
) -> None:
    worker, beat = system.start_worker(), system.start_beat()
    wait_for_log(beat, "Task tidemill.sweep")
    mark = tmp_path / "it-ran"
    with redis.Redis.from_url(own_redis.url) as client:
        for each in hostile(mark):
            client.lpush("openai", each)
            client.lpush(CONTROL_QUEUE, each)
            # What steers workers, and what they tell: both go to whoever listens.
            client.publish("/0.celery.pidbox", each)
            client.publish("/0.celeryev/worker.heartbeat", each)
        eventually(lambda: client.llen("openai") == 0, 30.0, "the worker took them all")
        eventually(lambda: client.llen(CONTROL_QUEUE) <= 1, 30.0, "and so did the sweep's")
        batch = system.wait(system.submit(lines(JOBS)))
        assert batch["counts"]["succeeded"] == JOBS
        assert_alive(worker, beat)
        assert "untrusted content of type pickle" in worker.log()
        assert "untrusted content of type yaml" in worker.log()
        assert not mark.exists()


def assert_alive(*processes: ProcessUnderTest) -> None:
    for process in processes:
        assert process.exit_status is None, process.tail()


def test_json_is_all_that_is_written_or_read_anywhere() -> None:
    celery = make_celery(Settings(broker_url="redis://127.0.0.1:9"))
    conf = celery.conf
    assert {*conf.accept_content, *conf.result_accept_content} == {"json"}
    assert {conf.task_serializer, conf.result_serializer, conf.event_serializer} == {"json"}
    assert conf.task_ignore_result
    assert conf.result_backend is None
    assert celery.control.mailbox.accept == ["json"]
    assert celery.events.Receiver(None).accept == {"json"}
    assert {RUN_SLICE, SWEEP}.isdisjoint(celery.tasks)  # only a worker has them
