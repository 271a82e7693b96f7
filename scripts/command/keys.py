"""`tidemill keys`: API keys, made and revoked on the database itself, by whoever runs the server."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.characters import has_hidden
from jobs.clock import utcnow
from jobs.errors import InvalidParameter
from jobs.scopes import format_scopes, parse_scopes
from scripts.command.connection import Json
from scripts.command.render import print_json, stdout

if TYPE_CHECKING:
    from jobs.store import Database

keys = typer.Typer(no_args_is_help=True, help="API keys; works on the database, not over HTTP.")

Project = Annotated[str, typer.Option(help="The project that the key belongs to.")]


LONGEST_NAME = 100

_LIFETIME = re.compile(r"(?P<number>[1-9][0-9]{0,4})(?P<unit>[hd])")


@keys.command("create")
def create(
    project: Project = "default",
    scopes: Annotated[
        str,
        typer.Option(
            help="What it may do: read (see everything), submit (send and steer batches), "
            "admin (change the project's budget), metrics (see the figures of all projects)."
        ),
    ] = "read,submit,admin",
    expires: Annotated[
        str | None, typer.Option(help="For how long: 30d, 12h; default: until it is revoked.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Whose it is, or what it is for.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, once: only its hash is stored."""
    from jobs.store.projects import create_key, ensure_project  # noqa: PLC0415  (slow to import)

    allowed, expires_at = parse_scopes(scopes), None if expires is None else _moment(expires)
    if name is not None and (not name.strip() or len(name) > LONGEST_NAME or has_hidden(name)):
        raise InvalidParameter(f"--name: expected 1 to {LONGEST_NAME} characters that can be seen")
    with _database() as database, database.write() as session:
        key = create_key(
            session,
            ensure_project(session, project),
            scopes=allowed,
            expires_at=expires_at,
            name=name,
        )
    if as_json:
        print_json(
            {
                "project": project,
                "key": key,
                "name": name,
                "scopes": format_scopes(allowed),
                "expires_at": None if expires_at is None else expires_at.isoformat(),
            }
        )
    else:
        stdout().print(key, markup=False)


def _moment(lifetime: str) -> datetime:
    match = _LIFETIME.fullmatch(lifetime)
    if match is None:
        raise InvalidParameter(
            f"--expires: expected a number of hours or days such as 12h or 30d, got {lifetime[:20]!r}"
        )
    number = int(match["number"])
    return utcnow() + (timedelta(hours=number) if match["unit"] == "h" else timedelta(days=number))


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys: prefix, project, state, scopes, when made, until when, what for."""
    from jobs.store.projects import all_keys  # noqa: PLC0415  (slow to import)

    with _database() as database, database.read() as session:
        found = all_keys(session)
    if as_json:
        print_json({"data": found})
        return
    for row in found:
        until = f"until {row['expires_at']}" if row["expires_at"] else ""
        columns = (
            f"{row['prefix']}…",
            row["project"],
            row["state"],
            row["scopes"],
            row["created_at"],
            until,
            row["name"],
        )
        stdout().print("  ".join(text for text in columns if text), markup=False, soft_wrap=True)


@keys.command("revoke")
def revoke(
    prefix: Annotated[str, typer.Argument(help="As `keys list` shows it.")], as_json: Json = False
) -> None:
    """Revoke a key; it stops working within five seconds."""
    from jobs.store.projects import revoke_key  # noqa: PLC0415  (slow to import)

    with _database() as database, database.write() as session:
        revoked = revoke_key(session, prefix)
    if as_json:
        print_json(revoked)


@contextmanager
def _database() -> Iterator["Database"]:
    from jobs.store import check_schema, open_database  # noqa: PLC0415  (slow to import)
    from scripts.launcher.environment import read_settings  # noqa: PLC0415  (slow to import)

    database = open_database(read_settings().resolved_database_url(), connections=1)
    try:
        check_schema(database)
        yield database
    finally:
        database.close()
