"""`tidemill reconcile`: the proof that nothing of a batch is missing, also by the provider's account."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.errors import SubmissionError
from scripts.command.balance_tables import account_table, balance_table, finding_table
from scripts.command.client import Client
from scripts.command.connection import DEFAULT_URL, BatchId, Json, Key, Url, connect
from scripts.command.ending import ExitStatus, say
from scripts.command.render import JsonObject, print_json, stdout
from tidemill.upload import open_upload


def reconcile(  # noqa: PLR0913 - a command's options are its parameters
    batch_id: BatchId,
    provider_account: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the provider billed: NDJSON, one call a line; - is stdin.",
        ),
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="Whose account it is, if the batch used several.")
    ] = None,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="A lost call that the account doesn't have cost nothing."),
    ] = False,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Charge unknown attempts what the account says of them."),
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Count and add up everything of a batch: jobs, results, attempts, money.

    With --provider-account every call that the provider billed is compared with our attempts. Exit
    status 7 tells that something contradicts something else; attempts of unknown use don't, as they
    are charged at their worst case.
    """
    if provider_account is None and (provider is not None or complete or apply):
        raise SubmissionError("--provider, --complete and --apply take a --provider-account FILE")
    query = {"complete": str(complete).lower(), "apply": str(apply).lower()}
    if provider is not None:
        query["provider"] = provider
    with connect(url, key) as client:
        if provider_account is None:
            found = client.balance(batch_id)
        else:
            found = _send(client, batch_id, provider_account, query)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found["balances"]:
        raise typer.Exit(ExitStatus.UNBALANCED)


def _send(client: Client, batch_id: str, file: Path, query: dict[str, str]) -> JsonObject:
    try:
        with open_upload(file) as upload:
            return client.reconcile(batch_id, upload, query)
    except OSError as error:
        raise typer.BadParameter(f"{file} can't be read: {error.strerror}") from error


def _print(found: JsonObject) -> None:
    console = stdout()
    console.print(balance_table(found))
    if found["account"] is not None:
        console.print()
        console.print(account_table(found["account"]))
    findings = found["account"]["findings"] if found["account"] else []
    if found["violations"] or findings:
        console.print(finding_table(found["violations"], findings))
    if found["balances"]:
        console.print("Everything balances.")
    else:
        say("the books don't balance")
