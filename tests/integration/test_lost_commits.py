"""A commit took place and its answer was lost: whoever goes on from there does no harm."""

import pytest

from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.errors import IllegalTransition
from jobs.ingest import Intake
from jobs.lines import LineReader
from jobs.routing import Catalogue
from jobs.states import BatchState
from jobs.store import Database
from jobs.store.batches import batches, idempotency
from jobs.store.batches.uploads import BatchDraft
from jobs.store.projects import ensure_project
from tests.support.rows import batch_of, leased

LINE = b'{"custom_id": "a", "model": "sim/small", "prompt": "Hello"}'


@pytest.fixture
def intake(database: Database) -> Intake:
    provider = {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1"}
    configuration = Configuration.model_validate({"providers": {"sim": provider}})
    with database.write() as session:
        project_id = ensure_project(session, "default")
    defaults = JobDefaults.from_query({})
    draft = BatchDraft(project_id, defaults.to_json())
    reader = LineReader(defaults, Catalogue(configuration))
    return Intake(database, draft, reader, slice_size=10, max_jobs=100)


def test_an_accepted_upload_survives_a_sender_who_was_told_of_a_failure(
    database: Database, intake: Intake
) -> None:
    intake.take_lines([LINE])
    accepted = intake.accept()
    intake.abandon()
    assert batch_of(database, accepted.ref).state == BatchState.QUEUED
    assert [job.seq for job in leased(database, accepted.ref)[1]] == [0]


def test_an_upload_that_is_being_deleted_does_not_come_back_to_life(
    database: Database, intake: Intake
) -> None:
    with database.write() as session:
        batch = batches.lock(session, 1)
        batch.touched_at = idempotency.DEAD
        session.add(batch)
    intake.take_lines([LINE])
    with pytest.raises(IllegalTransition, match="no sign of life"):
        intake.accept()
