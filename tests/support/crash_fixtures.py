"""A stage for whoever is to die."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.crash_lives import set_up
from tests.support.crash_stage import Stage, make_small

if TYPE_CHECKING:
    # Imported by pytest itself, as a plugin of the modules that use it.
    from tests.support.simulator import Simulator


@pytest.fixture
def stage(
    simulator: "Simulator",
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """A migrated database with a capped project, a broker, and a provider in a bad mood."""
    make_small(monkeypatch)
    return set_up(Stage(tmp_path, database_url, redis_url, simulator.url), simulator)
