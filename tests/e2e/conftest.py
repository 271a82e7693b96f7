"""Whole systems: one that a module's tests share, and ones that a test may kill."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.system import SPREAD_IN_FLIGHT, System, running_system

if TYPE_CHECKING:
    # Imported by pytest itself, as a plugin of the modules that use it.
    from tests.support.simulator import Simulator

BuildSystem = Callable[..., System]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the system's processes wrote under a test that failed."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, System):
                report.sections += [(f"log of {name}", tail) for name, tail in value.logs()]
    return report


@pytest.fixture(scope="module")
def one_machine(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """`tidemill up`, shared by a module's tests: SQLite, the embedded Valkey, one worker."""
    with running_system(tmp_path_factory.mktemp("one"), shared_simulator.url) as system:
        system.start_up()
        yield system


@pytest.fixture
def own_system(simulator: "Simulator", tmp_path: Path) -> Iterator[System]:
    """A system of this test, on one machine, of which nothing runs yet."""
    with running_system(tmp_path / "own", simulator.url) as system:
        yield system


@pytest.fixture
def spread_system(
    simulator: "Simulator", tmp_path: Path, database_url: str, redis_url: str
) -> Iterator[System]:
    """API and beat as processes of their own, on each database; workers are the test's."""
    with running_system(
        tmp_path / "spread",
        simulator.url,
        TIDEMILL_DATABASE_URL=database_url,
        TIDEMILL_BROKER_URL=redis_url,
        TIDEMILL_MAX_IN_FLIGHT=str(SPREAD_IN_FLIGHT),
    ) as system:
        system.start_api()
        system.start_beat()
        yield system
