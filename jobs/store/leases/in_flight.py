"""What a worker has in flight, for somebody who looks on from outside."""

from sqlalchemy import select
from sqlmodel import Session, col

from jobs.tables import Attempt, Job, Slice, Worker


def jobs_in_flight(session: Session, process_id: int) -> list[str]:
    """Return the custom_ids of the jobs that the worker with this process id has a call in flight for."""
    statement = (
        select(col(Job.custom_id))
        .join(
            Attempt,
            (col(Attempt.batch_id) == col(Job.batch_id)) & (col(Attempt.seq) == col(Job.seq)),
        )
        .join(
            Slice,
            (col(Slice.batch_id) == col(Job.batch_id))
            & (col(Slice.queue) == col(Job.queue))
            & col(Job.seq).between(col(Slice.first_seq), col(Slice.last_seq)),
        )
        .join(Worker, col(Worker.id) == col(Slice.owner))
        .where(col(Worker.pid) == process_id, col(Attempt.outcome).is_(None))
        .order_by(col(Job.batch_id), col(Job.seq))
    )
    return list(session.connection().execute(statement).scalars())
