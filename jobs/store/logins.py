"""Logins: a key that was shown once, and the token that a browser has instead of it."""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, update
from sqlmodel import Session, col, or_, select

from jobs.clock import utcnow
from jobs.scopes import parse_scopes
from jobs.store.projects import Caller, hash_key
from jobs.tables import ApiKey, Login, Project

LIVES = timedelta(days=7)
"""After so long a key has to be shown again, however much the login was used."""

IDLE = timedelta(hours=16)
"""After so long without a request as well: an evening's look lasts until the morning's."""

NOTED_EVERY = timedelta(minutes=5)
"""How exactly it is known when a login was used last: a page that is open asks every two seconds."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks: what their key may do, how it begins, and the project's name."""

    caller: Caller
    key_prefix: str
    project: str


def begin(session: Session, key: str) -> str | None:
    """Return the token of a new login, 256 random bits; None if the key is not valid.

    Logins that are over are deleted here: there are no more of them than people have begun since.
    """
    now = utcnow()
    key_id = session.exec(
        select(ApiKey.id).where(
            ApiKey.key_hash == hash_key(key),
            col(ApiKey.revoked_at).is_(None),
            or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > now),
        )
    ).first()
    if key_id is None:
        return None
    session.connection().execute(
        delete(Login).where(
            or_(col(Login.created_at) < now - LIVES, col(Login.seen_at) < now - IDLE)
        )
    )
    token = secrets.token_urlsafe(32)
    session.add(Login(token_hash=hash_key(token), api_key_id=key_id, created_at=now, seen_at=now))
    return token


def visitor(session: Session, token: str) -> tuple[Visitor, bool] | None:
    """Return who has this token, and whether `note_use` is due; None if the login or its key is over."""
    now = utcnow()
    row = session.exec(
        select(Login, ApiKey, Project.name)
        .join(ApiKey, col(ApiKey.id) == col(Login.api_key_id))
        .join(Project, col(Project.id) == col(ApiKey.project_id))
        .where(
            Login.token_hash == hash_key(token),
            col(Login.created_at) > now - LIVES,
            col(Login.seen_at) > now - IDLE,
            col(ApiKey.revoked_at).is_(None),
            or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > now),
        )
    ).first()
    if row is None:
        return None
    login, key, project = row
    caller = Caller(key.project_id, parse_scopes(key.scopes), key.expires_at)
    return Visitor(caller, key.prefix, project), login.seen_at < now - NOTED_EVERY


def note_use(session: Session, token: str) -> None:
    """Note that a login is in use; one that has ended meanwhile stays ended."""
    session.connection().execute(
        update(Login).where(col(Login.token_hash) == hash_key(token)).values(seen_at=utcnow())
    )


def end(session: Session, token: str) -> None:
    """End a login; ending one that is over changes nothing."""
    session.connection().execute(delete(Login).where(col(Login.token_hash) == hash_key(token)))
