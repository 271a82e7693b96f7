"""Projects and their API keys."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import Session, col, or_, select

from jobs.clock import utcnow
from jobs.errors import InvalidParameter, NotFound
from jobs.scopes import PROJECT_SCOPES, Scope, format_scopes, parse_scopes
from jobs.store.engine.database import Database
from jobs.tables import ApiKey, Project

DEFAULT_PROJECT = "default"

_PROJECT_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

KEY_PREFIX = "tm_"
PREFIX_LENGTH = 9
"""Characters of a key that are kept readable: enough to recognise it, useless to guess the rest."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a living key speaks for: its project, what it may do, and until when (null: for ever)."""

    project_id: int
    scopes: frozenset[Scope]
    expires_at: datetime | None


def create_key(
    session: Session,
    project_id: int,
    *,
    scopes: Iterable[Scope] = PROJECT_SCOPES,
    expires_at: datetime | None = None,
    name: str | None = None,
) -> str:
    """Make a key with 256 random bits, store its hash, and return it; it can't be shown again."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    session.add(
        ApiKey(
            project_id=project_id,
            prefix=key[:PREFIX_LENGTH],
            key_hash=hash_key(key),
            name=name,
            scopes=format_scopes(scopes),
            created_at=utcnow(),
            expires_at=expires_at,
        )
    )
    return key


def caller_of_key(session: Session, key: str) -> Caller | None:
    """Return who a key speaks for; None for one that is unknown, revoked or past its time."""
    found = session.exec(
        select(ApiKey).where(
            ApiKey.key_hash == hash_key(key),
            col(ApiKey.revoked_at).is_(None),
            or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > utcnow()),
        )
    ).first()
    if found is None:
        return None
    return Caller(found.project_id, parse_scopes(found.scopes), found.expires_at)


def all_keys(session: Session) -> list[dict[str, str | None]]:
    """Return every key's prefix, project, name, scopes, dates (ISO) and state, oldest first."""
    rows = session.exec(
        select(ApiKey, Project.name)
        .join(Project, col(Project.id) == col(ApiKey.project_id))
        .order_by(col(ApiKey.id))
    )
    return [_shown(key, project) for key, project in rows]


def revoke_key(session: Session, prefix: str) -> dict[str, str | None]:
    """Revoke the one living key with this prefix, and return what `all_keys` says of it then.

    The prefix may be given as lists show it, with an ellipsis at its end.

    Raises:
        NotFound: none has it, or more than one.
    """
    prefix = prefix.strip().rstrip("….")
    rows = session.exec(
        select(ApiKey, Project.name)
        .join(Project, col(Project.id) == col(ApiKey.project_id))
        .where(col(ApiKey.revoked_at).is_(None))
    ).all()
    named = [(key, project) for key, project in rows if key.prefix == prefix]
    if len(named) != 1:
        count = sum(key.prefix.startswith(prefix) for key, _ in rows)
        begin = "1 living key begins" if count == 1 else f"{count} living keys begin"
        raise NotFound(
            f"{begin} with {prefix[:20]!r}; expected all that `tidemill keys list` shows of one"
        )
    ((key, project),) = named
    key.revoked_at = utcnow()
    session.add(key)
    return _shown(key, project)


def _shown(key: ApiKey, project: str) -> dict[str, str | None]:
    return {
        "prefix": key.prefix,
        "project": project,
        "name": key.name,
        "scopes": key.scopes,
        "state": _state(key),
        "created_at": key.created_at.isoformat(),
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
    }


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= utcnow() else "valid"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def hash_key(key: str) -> bytes:
    """Return what is stored of a key, and what it is looked up by.

    Its 256 random bits need no slow hash against guessing, no salt and no secret; and whoever times
    the look-up learns of a digest, which nobody can choose. (docs/decisions/0006)
    """
    return hashlib.sha256(key.encode()).digest()


def project_named(session: Session, name: str) -> int:
    """Return the id of a project.

    Raises:
        NotFound: there is none of that name.
    """
    found = session.exec(select(Project.id).where(Project.name == name)).first()
    if found is None:
        raise NotFound(f"there is no project {name!r}")
    return found


def ensure_project(session: Session, name: str) -> int:
    """Return the id of the project of that name, made if needed.

    Raises:
        InvalidParameter: no project can be called so.
    """
    if not _PROJECT_NAME.fullmatch(name):
        raise InvalidParameter(
            f"the project {name[:20]!r}: expected 1 to 64 letters, digits, `-`, `_` or `.`"
        )
    found = session.exec(select(Project.id).where(Project.name == name)).first()
    if found is not None:
        return found
    project = Project(name=name, created_at=utcnow())
    session.add(project)
    session.flush()
    assert project.id is not None
    return project.id


def ensure_first_key(database: Database, home: Path) -> Path:
    """Make the project `default` and a key for it unless `home` has one that works.

    Returns:
        The file that holds the key, readable by its owner alone.
    """
    path = home / "api-key"
    with database.write() as session:
        project_id = ensure_project(session, DEFAULT_PROJECT)
        if path.exists() and caller_of_key(session, path.read_text().strip()) is not None:
            return path
        key = create_key(session, project_id)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(key + "\n")
    return path
