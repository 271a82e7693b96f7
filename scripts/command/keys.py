"""`tidemill keys`: API keys, made and revoked on the database itself, by whoever runs the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.command.connection import Json
from scripts.command.render import print_json, stdout

if TYPE_CHECKING:
    from jobs.store import Database

keys = typer.Typer(no_args_is_help=True, help="API keys; works on the database, not over HTTP.")

Project = Annotated[str, typer.Option(help="The project that the key belongs to.")]


@keys.command("create")
def create(project: Project = "default", as_json: Json = False) -> None:
    """Make a key and print it, once: only its hash is stored."""
    from jobs.store.projects import create_key, ensure_project  # noqa: PLC0415  (slow to import)

    with _database() as database, database.write() as session:
        key = create_key(session, ensure_project(session, project))
    if as_json:
        print_json({"project": project, "key": key})
    else:
        stdout().print(key, markup=False)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys by their prefixes."""
    from jobs.store.projects import all_keys  # noqa: PLC0415  (slow to import)

    with _database() as database, database.read() as session:
        found = all_keys(session)
    if as_json:
        print_json({"data": found})
        return
    for row in found:
        state = "revoked" if row["revoked_at"] else "valid"
        stdout().print(f"{row['prefix']}…  {row['project']}  {state}  {row['created_at']}")


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
