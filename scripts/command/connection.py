"""Where the server is and with which key to speak to it: the options that client commands share."""

from typing import Annotated

import typer

from scripts.command.client import Client, open_http
from tidemill import connection

DEFAULT_URL = connection.DEFAULT_URL

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
    return Client(open_http(url, key or connection.key_of_environment()))
