"""What is said of a new batch in one way by every command that makes one."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from jobs import deadlines
from jobs.characters import IDEMPOTENCY_KEY, is_idempotency_key
from jobs.money import parse_usd
from jobs.states import LaneWish
from scripts.command.client import Client
from scripts.command.ending import say
from scripts.command.render import JsonObject
from scripts.command.results import save_results
from scripts.command.watch import finish, follow_on_terminal, rests


def _amount(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_usd(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def _deadline(text: str | None) -> str | None:
    try:
        if text is not None:
            deadlines.Deadline.of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def _run_window(text: str | None) -> str | None:
    try:
        if text is not None:
            deadlines.RunWindow.of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def _idempotency_key(text: str | None) -> str:
    """Return the key that was given, or a random one."""
    if text is None:
        return secrets.token_urlsafe(18)
    if not is_idempotency_key(text):
        raise typer.BadParameter(f"expected {IDEMPOTENCY_KEY}")
    return text


def _settings(texts: list[str] | None) -> list[str] | None:
    for text in texts or ():
        if not text.partition("=")[0] or "=" not in text:
            raise typer.BadParameter(f"expected FIELD=VALUE, got {text!r}")
    return texts


MaxCost = Annotated[
    str | None,
    typer.Option(
        "--max-cost",
        "--max-cost-usd",
        metavar="USD",
        callback=_amount,
        help="Budget in dollars, never exceeded.",
    ),
]
Deadline = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        callback=_deadline,
        help="By when it is wanted: 2026-12-01T06:00+01:00, or the next '06:00 Europe/Paris'.",
    ),
]
AfterDeadline = Annotated[
    deadlines.AfterDeadline | None,
    typer.Option(help="Of jobs that are open then: finish runs them late, expire ends them."),
]
Lane = Annotated[
    LaneWish | None,
    typer.Option(
        help="Live calls, or half the price through batch APIs. Default: live, of a retry as before."
    ),
]
RunWindow = Annotated[
    str | None,
    typer.Option(
        metavar="HOURS",
        callback=_run_window,
        help="Hours in which it may run, such as '22:00-06:00 Europe/Paris'.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        callback=_settings,
        help="Default for any other field of the jobs, such as target=fr; may be given often.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        callback=_idempotency_key,
        help="The same request with the same key is one batch. Default: a random one.",
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Stay until the batch has ended.")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Write the results here at the end; implies --watch."),
]


def fields_of(settings: list[str] | None) -> dict[str, str]:
    """Return the fields that `--set` was given, with their values."""
    return dict(setting.split("=", 1) for setting in settings or ())


def stay(client: Client, batch: JsonObject, output: Path | None, *, as_json: bool) -> None:
    """Follow an accepted batch to its end, and write its results to `output` if there is one."""
    if not as_json:
        say(accepted(batch))
    batch = follow_on_terminal(client, batch["id"], as_json=as_json)
    # A batch that rests has no end yet, and half of the results must not pass for all of them.
    if output is not None and not rests(batch):
        said = save_results(client, batch["id"], output)
        if not as_json:
            say(said)
    finish(batch, as_json=as_json)


def accepted(batch: JsonObject) -> str:
    """Return what is said of a batch that was accepted."""
    return f"Batch {batch['id']} is accepted: {batch['counts']['total']:,} jobs."
