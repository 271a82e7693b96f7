"""`tidemill submit`: send a file of jobs, and stay until they are done if asked to."""

import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from jobs.characters import IDEMPOTENCY_KEY, is_idempotency_key
from jobs.money import parse_usd
from jobs.states import Priority
from scripts.command.client import Client
from scripts.command.connection import DEFAULT_URL, Json, Key, Url, connect
from scripts.command.ending import ExitStatus, say
from scripts.command.quote import tell_quote
from scripts.command.render import JsonObject, print_json, stdout
from scripts.command.results import Order, check_writable, save
from scripts.command.sample import DEFAULT_JOBS, Sampling
from scripts.command.sending import Sending, opened
from scripts.command.watch import finish, follow_on_terminal, rests


def _amount(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_usd(text)
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


class Collapse(StrEnum):
    """Whether jobs that ask for the same get one answer; auto: unless they ask for variety."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def submit(  # noqa: PLR0913 - a command's options are its parameters
    file: Annotated[
        Path,
        typer.Argument(
            help="NDJSON, one job a line, or .json with a list of jobs, also .gz or .zst; - is stdin.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What the batch is called in lists.")] = None,
    kind: Annotated[str | None, typer.Option(help="Default for jobs without a kind.")] = None,
    model: Annotated[str | None, typer.Option(help="Default for jobs without a model.")] = None,
    system: Annotated[str | None, typer.Option(help="Default system prompt.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Default output limit.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="Default.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Share of a busy queue.")] = None,
    max_cost_usd: Annotated[
        str | None,
        typer.Option(
            "--max-cost",
            "--max-cost-usd",
            metavar="USD",
            callback=_amount,
            help="Budget in dollars, never exceeded.",
        ),
    ] = None,
    failover_after_s: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to wait for a target before a route's next one."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            callback=_settings,
            help="Default for any other field of the jobs, such as target=fr; may be given often.",
        ),
    ] = None,
    repair: Annotated[
        bool | None,
        typer.Option(help="Take answers that were put right here. Default: yes."),
    ] = None,
    ask_again: Annotated[
        int | None,
        typer.Option(min=0, max=5, help="How often a model is asked again after a bad answer."),
    ] = None,
    raise_max_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Up to where a cut-off answer gets more room. Default: twice."),
    ] = None,
    escalate: Annotated[
        bool | None,
        typer.Option(help="Ask a route's next target after bad answers. Default: yes."),
    ] = None,
    collapse: Annotated[
        Collapse | None,
        typer.Option(help="Whether jobs that ask for the same get one answer. Default: auto."),
    ] = None,
    reuse: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Take answers of earlier batches that are no older, such as 12h or 7d. Default: none.",
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            callback=_idempotency_key,
            help="The same file and options with the same key are one batch. Default: a random one.",
        ),
    ] = None,
    retry_for: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long to wait altogether for a server that is away; sending does not count.",
        ),
    ] = 60.0,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what it would take, and which lines are bad; submit nothing."
        ),
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="[N]",
            help=f"Run N jobs first ({DEFAULT_JOBS} without a number), show them, quote the rest by "
            "them, and ask.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="After a sample, submit all jobs without asking.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the batch has ended.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write the results here at the end; implies --watch."),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Submit a file of jobs as one batch: all of it is accepted, or nothing.

    If the server or the connection fails, the file is sent again from its start, for as long as
    --retry-for says; one batch results. (Of stdin a temporary copy is kept meanwhile.) After this
    command itself was killed, the same one with the --idempotency-key of the first goes on.

    With --watch, exit status 1 tells that some job has no answer, and Ctrl-C leaves the batch
    running. If the batch is paused and nobody is at a terminal, the command ends with status 6 and
    no results are written.

    --dry-run ends with status 2 if there are bad lines. After --sample, without --yes and without
    somebody at a terminal, the rest is not submitted.
    """
    if dry_run and (sample is not None or watch or output is not None):
        raise typer.BadParameter("--dry-run runs nothing: leave out --sample, --watch and --output")
    if yes and sample is None:
        raise typer.BadParameter("--yes answers what --sample asks: there is no sample")
    if output is not None:
        check_writable(output)
    given = {
        "name": name,
        "kind": kind,
        "model": model,
        "system": system,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "priority": priority,
        "max_cost_usd": max_cost_usd,
        "failover_after_s": failover_after_s,
        "repair": repair,
        "ask_again": ask_again,
        "raise_max_tokens": raise_max_tokens,
        "escalate": escalate,
        "collapse": collapse,
        "reuse": reuse,
    }
    defaults = {field: str(value) for field, value in given.items() if value is not None}
    defaults |= dict(setting.split("=", 1) for setting in settings or ())
    with connect(url, key) as client, opened(file) as upload:
        sending = Sending(client, file, retry_for, is_quiet=as_json)
        if dry_run:
            quote = sending.quote(upload, defaults)
            tell_quote(quote, as_json=as_json)
            raise typer.Exit(ExitStatus.REJECTED if quote["fault_count"] else ExitStatus.OK)
        if sample is not None:
            sampling = Sampling(sending, upload, defaults, str(idempotency_key), sample, as_json)
            sampling.run(goes_on=yes)
        batch = sending.submit(upload, defaults, str(idempotency_key))
        if watch or output is not None:
            _stay(client, batch, output, as_json=as_json)
    if as_json:
        print_json(batch)
    else:
        stdout().print(_accepted(batch))
        stdout().print(f"`tidemill watch {batch['id']}` follows it.")


def _stay(client: Client, batch: JsonObject, output: Path | None, *, as_json: bool) -> None:
    if not as_json:
        say(_accepted(batch))
    batch = follow_on_terminal(client, batch["id"], as_json=as_json)
    # A batch that rests has no end yet, and half of the results must not pass for all of them.
    if output is not None and not rests(batch):
        count = save(client.results(batch["id"], Order.INPUT), output)
        if not as_json:
            say(f"{count:,} results are in {output}")
    finish(batch, as_json=as_json)


def _accepted(batch: JsonObject) -> str:
    return f"Batch {batch['id']} is accepted: {batch['counts']['total']:,} jobs."
