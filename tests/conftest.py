"""What every test gets: a scrubbed environment, its tier as a marker, and the services."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.environment import is_foreign

pytest_plugins = ["tests.support.services"]

TESTS = Path(__file__).parent

# How long an example takes says more of the machine than of the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its folder: `-m unit` is the fast part."""
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])


@pytest.fixture(autouse=True)
def _scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in filter(is_foreign, list(os.environ)):
        monkeypatch.delenv(name)
