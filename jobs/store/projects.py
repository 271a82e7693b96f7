"""Projects and their API keys."""

import hashlib
import secrets
from pathlib import Path

from sqlmodel import Session, col, select

from jobs.clock import utcnow
from jobs.store.database import Database
from jobs.tables import ApiKey, Project

DEFAULT_PROJECT = "default"

KEY_PREFIX = "tm_"
PREFIX_LENGTH = 9
"""Characters of a key that are kept readable: enough to recognise it, useless to guess the rest."""


def create_key(session: Session, project_id: int) -> str:
    """Make a key with 256 random bits, store its hash, and return it; it can't be shown again."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    session.add(
        ApiKey(
            project_id=project_id,
            prefix=key[:PREFIX_LENGTH],
            key_hash=hash_key(key),
            created_at=utcnow(),
        )
    )
    return key


def project_of_key(session: Session, key: str) -> int | None:
    """Return the id of the project that a living key belongs to."""
    return session.exec(
        select(ApiKey.project_id).where(
            ApiKey.key_hash == hash_key(key), col(ApiKey.revoked_at).is_(None)
        )
    ).first()


def hash_key(key: str) -> bytes:
    """Return what is stored of a key. Its 256 random bits need no slow hash against guessing."""
    return hashlib.sha256(key.encode()).digest()


def ensure_project(session: Session, name: str) -> int:
    """Return the id of the project of that name, made if needed."""
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
        if path.exists() and project_of_key(session, path.read_text().strip()) is not None:
            return path
        key = create_key(session, project_id)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(key + "\n")
    return path
