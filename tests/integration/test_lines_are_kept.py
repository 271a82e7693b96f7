"""What the reader of lines accepts, either database stores and gives back byte for byte."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.ingest import Intake
from jobs.lines import JobLine, LineReader
from jobs.routing import Catalogue
from jobs.store import Database
from jobs.store.batches.uploads import BatchDraft
from jobs.store.projects import ensure_project
from jobs.tables import Batch, Job

CATALOGUE = Catalogue(
    Configuration.model_validate(
        {
            "providers": {
                "openai": {
                    "protocol": "openai",
                    "base_url": "https://api.openai.com/v1",
                    "models": ["*"],
                }
            }
        }
    )
)

TEXTS = st.text(min_size=1) | st.sampled_from(
    ["\U0010ffff", "\ufffe", "\ufdd0", "\u0085", "\u2028"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
LINES = st.builds(
    lambda fields, ascii_only: json.dumps(fields, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    ),
    st.fixed_dictionaries(
        {"custom_id": TEXTS, "model": TEXTS, "prompt": TEXTS},
        optional={"system": VALUES, "schema": VALUES, "seed": VALUES, "stop": VALUES},
    ),
    st.booleans(),
)


def spoilt(line: bytes, place: float, piece: bytes, cut: int) -> bytes:
    """Replace some bytes of a line by others."""
    at = int(place * len(line))
    return line[:at] + piece + line[at + cut :]


MUTATED = st.builds(
    spoilt,
    LINES,
    st.floats(0, 1),
    st.binary(max_size=3)
    | st.sampled_from([b"\\u0000", b'"', b",", b"\\", b"NaN", b"\xed\xa0\x80"]),
    st.integers(0, 3),
)


@given(st.lists(LINES | MUTATED, min_size=1, max_size=30))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_accepted_is_kept_byte_for_byte(database: Database, raws: list[bytes]) -> None:
    reader = LineReader(JobDefaults(), CATALOGUE)
    good: dict[str, bytes] = {}
    for raw in raws:
        job: Any = reader.read(2, raw)
        if isinstance(job, JobLine) and b"\n" not in raw:
            good.setdefault(job.custom_id, raw)
    with database.write() as session:
        project_id = ensure_project(session, "default")
    draft = BatchDraft(project_id, JobDefaults().to_json())
    intake = Intake(
        database, draft, LineReader(JobDefaults(), CATALOGUE), slice_size=10, max_jobs=1000
    )
    if not good:
        intake.abandon()
        return
    intake.take(b"\n".join(good.values()))
    accepted = intake.accept()
    with database.read() as session:
        rows = session.exec(
            select(Job.custom_id, Job.request)
            .join(Batch, col(Batch.id) == col(Job.batch_id))
            .where(Batch.ref == accepted.ref)
            .order_by(col(Job.seq))
        ).all()
    assert [(name, text.encode()) for name, text in rows] == list(good.items())
