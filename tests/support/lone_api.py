"""The API alone, without a worker and without a broker: taking work in needs neither."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.postgres import fresh_database
from tests.support.system import System, running_system

NO_PROVIDER = "http://127.0.0.1:9"

ROUTE = '\n[routes.cheap]\ntargets = ["openai/sim-small"]\n'


@contextmanager
def lone_api(
    request: pytest.FixtureRequest, folder: Path, *, more: str = "", **environment: str
) -> Iterator[System]:
    """Yield a system whose API runs on the database that `request.param` names.

    Its configuration has the route `cheap`, and what `more` says.
    """
    with (
        _addresses(request) as addresses,
        running_system(folder, NO_PROVIDER, **addresses, **environment) as system,
    ):
        with system.config.open("a", encoding="utf-8") as file:
            file.write(more + ROUTE)
        system.start_api()
        yield system


@contextmanager
def _addresses(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield {}
        return
    server = request.getfixturevalue("postgres_server")
    with fresh_database(server, template=request.getfixturevalue("postgres_template")) as url:
        yield {"TIDEMILL_DATABASE_URL": url}
