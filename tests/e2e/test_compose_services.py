"""What docker-compose.yml starts, started without Docker: its own commands and health checks."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
import redis

from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result
from tests.support import redis_servers
from tests.support.compose import compose_document, interpolate, service_command
from tests.support.environment import scrubbed
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.processes import ProcessUnderTest
from tests.support.services import StartProcess
from tests.support.system import ROOT, System, lines, running_system, wait_for_log

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

SECRETS = {
    "TIDEMILL_POSTGRES_PASSWORD": "s3cret",
    "TIDEMILL_REDIS_PASSWORD": "r3dis",
    "TIDEMILL_FLOWER_AUTH": "tidemill:s3cret",
}
JOBS = 500

TIDEMILL = (sys.executable, "-m", "scripts.command")
IN_IMAGE = {"PYTHONPATH": str(ROOT)}
"""What the image has by its installation: the command, and Python's path to it."""


class Composed:
    """The services of the file, on this machine's ports, folders and addresses."""

    def __init__(self, start: StartProcess, system: System, addresses: Mapping[str, str]) -> None:
        self._start = start
        self._system = system
        self._ports = {"8080": str(system.port), "5555": str(system.flower_port)}
        self._addresses = addresses

    def environment(self, name: str) -> dict[str, str]:
        """The service's variables; what they point to stands elsewhere here."""
        given = service_command(name, SECRETS).environment
        assert self._addresses.keys() <= given.keys()
        return {**given, **self._addresses, **IN_IMAGE, "TIDEMILL_HOME": str(self._system.home)}

    def start(self, name: str) -> ProcessUnderTest:
        """Start a part of ours as its service does, in the folder where `tidemill.toml` is."""
        program, *arguments = service_command(name, SECRETS).argv
        assert program == "tidemill"
        argv = [*TIDEMILL, *(self._ports.get(word, word) for word in arguments)]
        return self._start(argv, name, self.environment(name), self._system.folder)

    def is_healthy(self, name: str) -> bool:
        """Whether the service's own health check says so."""
        kind, program, *arguments = compose_document()["services"][name]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        for inside, outside in self._ports.items():
            arguments = [word.replace(f":{inside}/", f":{outside}/") for word in arguments]
        done = subprocess.run(  # noqa: S603 - the file's own check
            [sys.executable, *arguments], env=scrubbed({}), capture_output=True, check=False
        )
        return done.returncode == 0

    def tidemill(self, *arguments: str) -> str:
        """Do as `docker compose exec api tidemill ...` and return what it prints."""
        done = subprocess.run(  # noqa: S603 - our own command
            [*TIDEMILL, *arguments],
            env=self.environment("api"),
            cwd=self._system.folder,
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout.strip()


@pytest.fixture
def valkey_url(
    start_process: StartProcess, tmp_path: Path, missing: Callable[[str], NoReturn]
) -> str:
    """The address of the file's own broker service, on a port and in a folder of this test."""
    binary = redis_servers.embedded_binary() or redis_servers.redis_binary()
    if binary is None:
        missing("no Valkey for this system and no redis-server on the PATH")
    assert service_command("valkey", SECRETS).argv == ("valkey-server", "/etc/valkey.conf")
    content = compose_document()["configs"]["valkey"]["content"]
    (tmp_path / "valkey.conf").write_text(interpolate(content, SECRETS), encoding="utf-8")
    port = free_port()
    here = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    start_process([str(binary), str(tmp_path / "valkey.conf"), *here], "valkey")
    url = f"redis://tidemill:r3dis@127.0.0.1:{port}/0"
    eventually(lambda: redis_servers.answers(url), what="the broker answers PING")
    return url


def test_the_services_commands_become_healthy_and_do_a_batch(
    simulator: "Simulator",
    start_process: StartProcess,
    tmp_path: Path,
    postgres_url: str,
    valkey_url: str,
) -> None:
    # As in the file: no driver is named.
    plain_url = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    addresses = {"TIDEMILL_DATABASE_URL": plain_url, "TIDEMILL_BROKER_URL": valkey_url}
    with running_system(tmp_path / "composed", simulator.url, **addresses) as system:
        composed = Composed(start_process, system, addresses)
        composed.start("api")
        eventually(lambda: composed.is_healthy("api"), 60.0, "the API's health check succeeds")
        worker, beat = composed.start("worker"), composed.start("beat")
        composed.start("flower")
        system.home.mkdir(exist_ok=True)
        (system.home / "api-key").write_text(composed.tidemill("keys", "create"))

        batch_id = system.submit(lines(JOBS))
        batch = system.wait(batch_id)

        assert batch["state"] == "completed"
        each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
        books_agree(system, batch, simulator)
        wait_for_log(beat, "Task tidemill.sweep")
        eventually(lambda: composed.is_healthy("flower"), 30.0, "Flower's health check succeeds")
        assert worker.exit_status is None


@pytest.mark.parametrize(
    "command",
    [
        "CONFIG SET dir /tmp",
        "MODULE LIST",
        "SHUTDOWN",
        "FLUSHALL",
        "KEYS *",
        "ACL LIST",
        "MONITOR",
        "REPLICAOF 192.0.2.1 6379",
        "SAVE",
    ],
)
def test_the_brokers_user_can_do_nothing_to_the_server(valkey_url: str, command: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())
        assert client.ping()
    anonymous = valkey_url.replace("tidemill:r3dis@", "")
    with (
        redis.Redis.from_url(anonymous) as stranger,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        stranger.ping()
