"""The fixtures behind which real servers stand; `tests/conftest.py` loads them.

A server that does not run is replaced where the project brings its own (Redis), else its tests are
skipped. In CI a missing server is a failure: a suite that skips what it was meant to show is green
for the wrong reason.
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from jobs.errors import ConfigurationError
from scripts.fault_injection import rabbitmq
from scripts.fault_injection.servers import own_cluster
from tests.support import postgres, redis_servers, templates
from tests.support.environment import Machine
from tests.support.eventually import eventually
from tests.support.own_postgres import OwnPostgres
from tests.support.ports import free_port
from tests.support.processes import ProcessUnderTest
from tests.support.rabbitmq import can_be_administered

MACHINE = pytest.StashKey[Machine]()
PROCESSES = pytest.StashKey[list[ProcessUnderTest]]()


class StartProcess(Protocol):
    """How a test starts a program."""

    def __call__(
        self,
        argv: list[str],
        name: str | None = None,
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> ProcessUnderTest:
        """Start `argv`; `name` is its log's, and `environment` comes on top of the scrubbed one."""


def pytest_configure(config: pytest.Config) -> None:
    """Read what the suite is told about its machine, before any test's environment is scrubbed."""
    config.stash[MACHINE] = Machine.of(os.environ)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of each process's log under a test that failed."""
    report = yield
    if report.failed:
        for process in item.stash.get(PROCESSES, []):
            report.sections.append((f"log of {process.name}", process.tail()))
    return report


@pytest.fixture
def start_process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartProcess]:
    """Start programs that are gone when the test is."""
    started: list[ProcessUnderTest] = []
    request.node.stash[PROCESSES] = started

    def start(
        argv: list[str],
        name: str | None = None,
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> ProcessUnderTest:
        log = tmp_path / f"{name or Path(argv[0]).name}-{len(started)}.log"
        started.append(ProcessUnderTest(argv, log, environment, cwd))
        return started[-1]

    yield start
    for process in reversed(started):
        process.clear_away()


@pytest.fixture(scope="session")
def missing(pytestconfig: pytest.Config) -> Callable[[str], NoReturn]:
    """Say that a service is missing: skips the test, or fails it in CI."""
    in_ci = pytestconfig.stash[MACHINE].in_ci

    def say(what: str) -> NoReturn:
        if in_ci:
            pytest.fail(f"missing in CI: {what}", pytrace=False)
        pytest.skip(what)

    return say


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config, missing: Callable[[str], NoReturn]) -> str:
    """The address of a PostgreSQL server on which databases may be made."""
    url = pytestconfig.stash[MACHINE].postgres_url
    if not postgres.answers(url):
        missing(f"no PostgreSQL at {url} (TIDEMILL_TEST_POSTGRES_URL names another)")
    return url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The SQLAlchemy address of an empty PostgreSQL database of this test."""
    with postgres.fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def own_postgres(
    tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[OwnPostgres]:
    """A PostgreSQL of a module's own, which its tests may freeze and stop."""
    folder = tmp_path_factory.mktemp("postgres")
    started: list[ProcessUnderTest] = []

    def start(argv: list[str]) -> ProcessUnderTest:
        started.append(ProcessUnderTest(argv, folder / f"{len(started)}.log", cwd=folder))
        return started[-1]

    with ExitStack() as stack:
        try:
            data = stack.enter_context(own_cluster())
        except ConfigurationError as error:
            missing(str(error))
        yield OwnPostgres(data, start)
        for process in started:
            process.clear_away()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy address of an empty database of this test: once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tidemill.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of a PostgreSQL database at the present schema, which only its copies change."""
    with templates.postgres_template(postgres_server) as name:
        yield name


@pytest.fixture
def migrated_postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The SQLAlchemy address of a PostgreSQL database of this test at the present schema."""
    with postgres.fresh_database(postgres_server, template=postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy address of a database of this test at the present schema: once of each kind."""
    if request.param == "sqlite":
        return templates.copy_sqlite(tmp_path / "tidemill.db")
    url: str = request.getfixturevalue("migrated_postgres_url")
    return url


@pytest.fixture(scope="session")
def redis_server(
    tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[str]:
    """The address, without a database number, of the Redis that tests share."""
    if redis_servers.answers(redis_servers.SHARED_URL):
        yield redis_servers.SHARED_URL
        return
    binary = redis_servers.embedded_binary()
    if binary is None:
        missing(f"no Redis at {redis_servers.SHARED_URL} and no Valkey for this system")
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("valkey") / "valkey.log"
    server = ProcessUnderTest(redis_servers.server_command(binary, port), log, cwd=log.parent)
    try:
        eventually(lambda: redis_servers.answers(url), what="the embedded Valkey answers PING")
        yield url
    finally:
        server.clear_away()


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """The address of an empty Redis database of this test."""
    with redis_servers.own_number(redis_server) as url:
        yield url


@pytest.fixture
def own_redis(
    start_process: StartProcess, tmp_path: Path, missing: Callable[[str], NoReturn]
) -> redis_servers.OwnRedis:
    """A Redis process of this test, which may kill it."""
    binary = redis_servers.redis_binary()
    if binary is None:
        missing("no redis-server on the PATH and no Valkey for this system")
    return redis_servers.OwnRedis(
        lambda argv: start_process(argv, name="redis", cwd=tmp_path), binary
    )


@pytest.fixture
def rabbitmq_url(missing: Callable[[str], NoReturn]) -> Iterator[str]:
    """The address of an empty RabbitMQ virtual host of this test."""
    if not can_be_administered():
        missing(f"no RabbitMQ on port {rabbitmq.PORT}, or no rabbitmqctl on the PATH")
    with rabbitmq.own_virtual_host() as name:
        yield rabbitmq.address(name)
