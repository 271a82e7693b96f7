"""An API that is killed while a file is uploaded costs time, and neither a job nor a second batch."""

from pathlib import Path

import pytest

from tests.e2e.upload_kills import Case, survive
from tests.support.system import running_system

LINES, KILLS = 20_000, 3


@pytest.mark.timeout(240)
def test_a_command_whose_api_is_killed_three_times_gets_its_one_batch(
    tmp_path: Path, database_url: str
) -> None:
    with running_system(
        tmp_path / "own", "http://127.0.0.1:9", TIDEMILL_DATABASE_URL=database_url
    ) as system:
        outcome = survive(system, Case(LINES, KILLS, seed=20_261_127))
    assert len(outcome.killed_at) == KILLS
    assert all(0 < stored < LINES for stored in outcome.killed_at)
    assert outcome.rows == {"Batch": 1, "Job": LINES, "Slice": LINES // 100, "IdempotencyKey": 1}
    assert (outcome.batch["state"], outcome.batch["counts"]["total"]) == ("queued", LINES)
    assert any("trying again" in line for line in outcome.told)
