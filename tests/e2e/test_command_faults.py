"""What a person did wrong, or what does not answer: one line, and the exit status that `--help` tells."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.postgres import fresh_database
from tests.support.services import StartProcess
from tests.support.system import ROOT, configuration

WITHIN_S = 30.0
COMMANDS = [("keys", "list"), ("keys", "create")]


def said(
    start_process: StartProcess, home: Path, *arguments: str, **environment: str
) -> tuple[int, list[str]]:
    """Run a command; return its exit status and what it wrote, without what is written of a log."""
    config = home.parent / "tidemill.toml"
    config.write_text(configuration("http://127.0.0.1:9"), encoding="utf-8")
    process = start_process(
        [sys.executable, "-m", "scripts.command", *arguments],
        environment={"TIDEMILL_HOME": str(home), "TIDEMILL_CONFIG": str(config), **environment},
        cwd=ROOT,
    )
    status = process.wait_ended(WITHIN_S)
    return status, process.log().splitlines()


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_keys_without_a_home_name_the_database_that_is_not_there(
    start_process: StartProcess, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    status, lines = said(start_process, tmp_path / "nowhere", *arguments)
    assert status == 5
    (line,) = lines
    assert "the database can't be used now" in line
    assert "nowhere/tidemill.db" in line


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_database_server_that_is_not_there_is_said_in_one_line(
    start_process: StartProcess, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    url = "postgresql://postgres@127.0.0.1:1/x"
    status, lines = said(start_process, tmp_path / "home", *arguments, TIDEMILL_DATABASE_URL=url)
    assert status == 5
    (line,) = lines
    assert "the database can't be used now" in line
    assert "refused" in line


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_database_that_does_not_exist_is_said_in_one_line(
    start_process: StartProcess,
    tmp_path: Path,
    postgres_server: str,
    arguments: tuple[str, ...],
) -> None:
    with fresh_database(postgres_server) as url:
        gone = url
    status, lines = said(start_process, tmp_path / "home", *arguments, TIDEMILL_DATABASE_URL=gone)
    assert status == 5
    (line,) = lines
    assert "does not exist" in line


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("part", ["api", "flower"])
def test_a_port_that_is_taken_is_wrong_usage(
    start_process: StartProcess, tmp_path: Path, used_port: int, part: str
) -> None:
    status, lines = said(start_process, tmp_path / "home", part, "--port", str(used_port))
    assert status == 2
    (line,) = lines
    assert f"port {used_port} on 127.0.0.1 is already in use" in line


@pytest.mark.parametrize(
    ("part", "port"), [("up", "99999"), ("up", "-1"), ("api", "0"), ("flower", "65536")]
)
def test_a_port_that_none_is_is_wrong_usage(
    start_process: StartProcess, tmp_path: Path, part: str, port: str
) -> None:
    status, lines = said(start_process, tmp_path / "home", part, "--port", port)
    assert status == 2
    assert any("Invalid value for '--port'" in line for line in lines)
    assert not (tmp_path / "home").exists()


def test_the_same_port_for_the_api_and_flower_is_known_at_once(
    start_process: StartProcess, tmp_path: Path
) -> None:
    unused_port = free_port()
    ports = ("--port", str(unused_port), "--flower-port", str(unused_port))
    status, lines = said(start_process, tmp_path / "home", "up", *ports)
    assert status == 2
    (line,) = lines
    assert f"--port and --flower-port are both {unused_port}" in line
    assert not (tmp_path / "home").exists()
