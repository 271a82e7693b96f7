"""The description of the API, tried by a machine on a real server: schemathesis, all its checks.

`TIDEMILL_FUZZ_EXAMPLES` is how many requests each operation gets in each phase. What is at the edge of
its type is tried whatever the number is; the default adds a few by chance, ten and more are for a person
with time, after a change of what is accepted.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lone_api import lone_api
from tests.support.system import ROOT, System, lines

EXAMPLES = int(os.environ.get("TIDEMILL_FUZZ_EXAMPLES", "2"))

NOT_OURS = (
    # What a parameter may be is more than its schema says: a cursor is one that was given out, an id
    # one that exists, a line a valid job.
    "positive_data_acceptance",
    # A key may be in either of two headers, and whoever guesses keys is soon told to wait: both look
    # like a hole from there. Every route's guard has a test of its own.
    "ignored_auth",
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The API alone, on each database."""
    redis = request.getfixturevalue("redis_server")
    folder = tmp_path_factory.mktemp("fuzz")
    with lone_api(request, folder, TIDEMILL_REDIS_URL=redis) as system:
        yield system


@pytest.mark.timeout(300 + 60 * EXAMPLES)
def test_whatever_is_asked_is_answered_as_described(system: System, tmp_path: Path) -> None:
    system.submit(lines(3))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{system.url}/openapi.json"),
        *("--header", f"x-api-key: {system.key}"),
        *("--exclude-checks", ",".join(NOT_OURS)),
        *("--max-examples", str(EXAMPLES), "--seed", "1"),
        *("--generation-database", "none", "--suppress-health-check", "all"),
        *("--continue-on-failure", "--no-color", "--warnings", "off"),
    ]
    run = subprocess.run(  # noqa: S603 - our own words
        command,
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.support.fuzz_hooks",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    assert "Traceback" not in system.processes[0].log()
