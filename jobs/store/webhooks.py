"""Webhooks, and what they are to be told.

The batch's row is the outbox: it tells the state that it has and the one that was told. Whoever finds
them apart writes the messages and the state as told in one transaction, so nothing is lost by a crash,
and nothing that changes a batch has to think of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import and_, delete, func, or_, update
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from jobs.errors import InvalidParameter, NotFound
from jobs.money import format_usd
from jobs.states import BatchState, PauseCause
from jobs.store.engine.database import now
from jobs.store.money import budget_news
from jobs.store.refs import new_ref
from jobs.tables import Batch, Webhook, WebhookMessage
from jobs.webhooks import MOST_PER_PROJECT, RETRY_AFTER, THRESHOLDS, new_secret, threshold

TRY_TAKES = timedelta(seconds=60)
"""Within which a try has ended, or whoever made it is dead: then it is made again."""

KEPT = timedelta(days=7)

ROWS_PER_ROUND = 100

MOST_OF_ONE = 20
"""Messages of one webhook in a round: what its receiver gets at once."""

_USED_UP = PauseCause.BATCH_BUDGET
_IS_UNTOLD = col(Batch.told_state) != col(Batch.state)
_spent, _cap, _told = col(Batch.spent_nanos), col(Batch.max_cost_nanos), col(Batch.told_percent)
_IS_PAST_A_THRESHOLD = and_(
    col(Batch.finished_at).is_(None),
    _cap.is_not(None),
    or_(
        *((_told < percent) & (_spent * 100 >= percent * _cap) for percent in THRESHOLDS),
        (_told < THRESHOLDS[-1]) & (col(Batch.pause_cause) == _USED_UP),
        # Its budget was raised: the thresholds are before it again.
        (_spent * 100 < _told * _cap) & (func.coalesce(col(Batch.pause_cause), "") != _USED_UP),
    ),
)


def create(session: Session, project_id: int, url: str) -> Webhook:
    """Add a webhook, which is told what changes from now on.

    Raises:
        InvalidParameter: the project has as many as it may.
    """
    present = of_project(session, project_id)
    if len(present) >= MOST_PER_PROJECT:
        raise InvalidParameter(f"a project has {MOST_PER_PROJECT} webhooks at most")
    webhook = Webhook(
        ref=new_ref("whk_"),
        project_id=project_id,
        url=url,
        secret=new_secret(),
        created_at=now(session),
    )
    session.add(webhook)
    # That locks the row of the project, which whoever changes its budget locks before its batches.
    session.flush()
    if all(one.gone_at is not None for one in present):
        _forget_the_past(session, project_id)
        budget_news.take(session, project_id)
    return webhook


def of_project(session: Session, project_id: int) -> list[Webhook]:
    """Return a project's webhooks, oldest first."""
    statement = select(Webhook).where(Webhook.project_id == project_id).order_by(col(Webhook.id))
    return list(session.exec(statement))


def remove(session: Session, project_id: int, ref: str) -> None:
    """Delete a webhook, with what it was not told yet.

    Raises:
        NotFound: the project has no such webhook.
    """
    webhook = session.exec(
        select(Webhook).where(Webhook.ref == ref, Webhook.project_id == project_id)
    ).first()
    if webhook is None:
        raise NotFound("there is no such webhook in this project")
    session.connection().execute(
        delete(WebhookMessage).where(col(WebhookMessage.webhook_id) == webhook.id)
    )
    session.delete(webhook)


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to write: of batches, and of the caps of these projects; and whether messages are due."""

    batches: bool
    capped: Sequence[int]
    is_due: bool


def look(session: Session) -> Work:
    """Return what there is to do, by reading only: mostly there is nothing."""
    projects = _listening(session)
    due = select(WebhookMessage.id).where(
        col(WebhookMessage.ended_at).is_(None), col(WebhookMessage.due_at) <= now(session)
    )
    return Work(
        batches=bool(_changed(session, projects)),
        capped=budget_news.changed(session, projects) if projects else [],
        is_due=session.exec(due.limit(1)).first() is not None,
    )


def write_messages(session: Session) -> int:
    """Write what webhooks are to be told of batches that have changed; return how many messages.

    Locks those batches, some at a time: the next round goes on.
    """
    ids = _changed(session, _listening(session))
    if not ids:
        return 0
    changed = session.exec(
        select(Batch).where(col(Batch.id).in_(ids)).order_by(col(Batch.id)).with_for_update()
    ).all()
    return sum(_write(session, batch) for batch in changed)


def write_budget_messages(session: Session, project_id: int) -> int:
    """Write what webhooks are to be told of a project's caps; return how many messages."""
    events = [("project.budget", share.data()) for share in budget_news.take(session, project_id)]
    return _tell(session, project_id, events)


def _listening(session: Session) -> list[int]:
    listening = select(Webhook.project_id).where(col(Webhook.gone_at).is_(None)).distinct()
    return list(session.exec(listening))


def _changed(session: Session, projects: Sequence[int]) -> set[int | None]:
    """Return the batches of which something else is true than was told, some at a time."""
    if not projects:
        return set()
    # Two looks, each by an index of its own: most batches are final, and told.
    of_projects = (col(Batch.project_id).in_(projects), Batch.state != BatchState.RECEIVING)
    return {
        batch_id
        for condition in (_IS_UNTOLD, _IS_PAST_A_THRESHOLD)
        for batch_id in session.exec(
            select(Batch.id).where(*of_projects, condition).limit(ROWS_PER_ROUND)
        )
    }


def _write(session: Session, batch: Batch) -> int:
    events: list[tuple[str, dict[str, Any]]] = []
    percent = threshold(
        batch.spent_nanos, batch.max_cost_nanos, is_used_up=batch.pause_cause == _USED_UP
    )
    if percent > batch.told_percent:
        events.append(("batch.budget", {"percent": percent}))
    if batch.told_state != batch.state:
        events.append((f"batch.{batch.state}", {}))
    batch.told_percent, batch.told_state = percent, batch.state
    session.add(batch)
    of_batch = _told_of(batch)
    return _tell(session, batch.project_id, [(kind, of_batch | more) for kind, more in events])


def _tell(session: Session, project_id: int, events: Sequence[tuple[str, dict[str, Any]]]) -> int:
    """Write a message of each event, by its type and data, to each of a project's webhooks."""
    if not events:
        return 0
    moment = now(session)
    webhooks = [one for one in of_project(session, project_id) if one.gone_at is None]
    for webhook in webhooks:
        for kind, data in events:
            body = {"type": kind, "timestamp": moment.isoformat(), "data": data}
            assert webhook.id is not None  # a stored row has its key
            session.add(
                WebhookMessage(
                    ref=new_ref("msg_"),
                    webhook_id=webhook.id,
                    body=orjson.dumps(body).decode(),
                    due_at=moment,
                )
            )
    return len(webhooks) * len(events)


def _told_of(batch: Batch) -> dict[str, Any]:
    """Return what a message says of a batch: where it stands, and nothing of its jobs."""
    return {
        "id": batch.ref,
        "name": batch.name,
        "state": batch.state,
        "waiting_for": batch.waiting_for,
        "total": batch.total_jobs,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "cancelled": batch.cancelled,
        "expired": batch.expired,
        "spent_usd": format_usd(batch.spent_nanos),
        "max_cost_usd": None if batch.max_cost_nanos is None else format_usd(batch.max_cost_nanos),
    }


@dataclass(frozen=True, slots=True)
class DueMessage:
    """A message that is being tried by whoever has got it. `tries` counts this one."""

    id: int
    ref: str
    url: str
    secret: str
    body: str
    tries: int


def take_due(session: Session) -> Sequence[DueMessage]:
    """Return messages that are due, some at a time, and put them off: nobody else tries them now.

    Every webhook's oldest go before any webhook's second: one whose receiver hangs holds up itself only.
    """
    moment = now(session)
    is_due = (col(WebhookMessage.ended_at).is_(None), col(WebhookMessage.due_at) <= moment)
    in_turn = func.row_number().over(
        partition_by=col(WebhookMessage.webhook_id),
        order_by=(col(WebhookMessage.due_at), col(WebhookMessage.id)),
    )
    turns = sa_select(col(WebhookMessage.id), in_turn.label("turn")).where(*is_due).subquery()
    rows = session.exec(
        select(WebhookMessage, Webhook)
        .join(Webhook, col(Webhook.id) == col(WebhookMessage.webhook_id))
        .join(turns, turns.c.id == col(WebhookMessage.id))
        .where(*is_due, turns.c.turn <= MOST_OF_ONE)
        .order_by(turns.c.turn, col(WebhookMessage.due_at), col(WebhookMessage.id))
        .limit(ROWS_PER_ROUND)
        .with_for_update(of=WebhookMessage, skip_locked=True)
    ).all()
    due: list[DueMessage] = []
    for message, webhook in rows:
        message.tries += 1
        message.due_at = moment + TRY_TAKES
        session.add(message)
        assert message.id is not None  # a stored row has its key
        due.append(
            DueMessage(
                message.id, message.ref, webhook.url, webhook.secret, message.body, message.tries
            )
        )
    return due


def note_try(session: Session, tried: DueMessage, trouble: str | None, *, is_gone: bool) -> None:
    """Note how a try ended: delivered if there was no trouble, else to be tried again or given up.

    A receiver that is gone is told nothing more.
    """
    moment = now(session)
    message = session.get(WebhookMessage, tried.id)
    if message is None or message.ended_at is not None:
        return  # the webhook was deleted, or a slower try was delivered after all
    gives_up = is_gone or tried.tries > len(RETRY_AFTER)
    if trouble is None or gives_up:
        message.ended_at = moment
    else:
        message.due_at = moment + RETRY_AFTER[tried.tries - 1]
    session.add(message)
    changes: dict[str, Any] = {"trouble": trouble}
    if is_gone:
        changes["gone_at"] = moment
    session.connection().execute(
        update(Webhook).where(col(Webhook.id) == message.webhook_id).values(**changes)
    )


def forget_old(session: Session) -> None:
    """Delete messages that ended long ago."""
    session.connection().execute(
        delete(WebhookMessage).where(col(WebhookMessage.ended_at) < now(session) - KEPT)
    )


def _forget_the_past(session: Session, project_id: int) -> None:
    """Take all that is for told: who begins to listen hears of what changes from now on.

    Its batches are locked in the order of their ids, as everywhere, or an update would wait against others.
    """
    untold = (col(Batch.project_id) == project_id, col(Batch.state) != col(Batch.told_state))
    connection = session.connection()
    connection.execute(
        sa_select(col(Batch.id)).where(*untold).order_by(col(Batch.id)).with_for_update()
    ).all()
    connection.execute(update(Batch).where(*untold).values(told_state=col(Batch.state)))
