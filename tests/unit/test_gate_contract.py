"""The gate on the simulated Redis."""

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from tests.support.gate_contract import *  # noqa: F403 - the suite
from tests.support.gates import Fleet


@pytest.fixture
def fleet() -> Fleet:
    server = FakeServer()
    return Fleet(lambda: FakeAsyncRedis(server=server, decode_responses=True))
