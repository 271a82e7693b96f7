"""The gate on a real Redis."""

import pytest

from tests.support.gate_contract import *  # noqa: F403 - the suite
from tests.support.gates import Fleet, server_client


@pytest.fixture
def fleet(redis_url: str) -> Fleet:
    return Fleet(lambda: server_client(redis_url))
