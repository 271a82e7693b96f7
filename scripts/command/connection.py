"""Where the server is and with which key to speak to it: the options that client commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from scripts.command.client import Client, open_http

DEFAULT_URL = "http://127.0.0.1:8080"

Url = Annotated[str, typer.Option("--url", envvar="TIDEMILL_URL", help="Address of the server.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="TIDEMILL_API_KEY",
        help="API key; other users of this machine see what is given here, so prefer the variable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Cursor = Annotated[
    str | None,
    typer.Option("--cursor", help="Go on after a list that ended with this cursor."),
]
BatchId = Annotated[str, typer.Argument(metavar="ID", help="The batch.")]


def connect(url: str, key: str | None) -> Client:
    """Return a client of the server at `url`, to be closed. Nothing is sent yet.

    Raises:
        ConfigurationError: the address can't be one.
    """
    return Client(open_http(url, key or _key_of_home()))


def _key_of_home() -> str | None:
    # Not through `Settings`: its imports would double the time that a client command needs.
    home = Path(os.environ.get("TIDEMILL_HOME") or ".tidemill")
    try:
        return (home / "api-key").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
