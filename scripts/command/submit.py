"""`tidemill submit`: send a file of jobs, and stay until they are done if asked to."""

from enum import StrEnum
from typing import Annotated

import typer

from api.formats import Format
from jobs.states import Priority
from scripts.command.connection import DEFAULT_URL, Json, Key, Url, connect
from scripts.command.ending import ExitStatus
from scripts.command.job_files import JobFiles
from scripts.command.options import (
    AfterDeadline,
    Deadline,
    IdempotencyKey,
    Lane,
    MaxCost,
    Output,
    RunWindow,
    Settings,
    Watch,
    accepted,
    fields_of,
    stay,
)
from scripts.command.quote import tell_quote
from scripts.command.render import print_json, stdout
from scripts.command.results import check_writable
from scripts.command.sample import DEFAULT_JOBS, Sampling
from scripts.command.sending import Sending


class Collapse(StrEnum):
    """Whether jobs that ask for the same get one answer; auto: unless they ask for variety."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Delimiter(StrEnum):
    """What is between the cells of CSV."""

    COMMA = "comma"
    SEMICOLON = "semicolon"
    TAB = "tab"
    PIPE = "pipe"


def submit(  # noqa: PLR0913 - a command's options are its parameters
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Lines of JSON (.jsonl), .json, .csv, .tsv or .parquet, also .gz or .zst; - is stdin. "
            "Several, or a pattern in quotes, are one batch. With s3://… the server reads it.",
        ),
    ],
    form: Annotated[
        Format | None,
        typer.Option("--format", help="What the files are. Default: what their names say."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="Prompt with the names of columns in it: 'Translate: {{ text }}'."),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="Column of ids. Default: custom_id, else id, else the rows' numbers."),
    ] = None,
    delimiter: Annotated[
        Delimiter | None, typer.Option(help="Of CSV. Default: what its header has most of.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the batch is called in lists.")] = None,
    kind: Annotated[str | None, typer.Option(help="Default for jobs without a kind.")] = None,
    model: Annotated[str | None, typer.Option(help="Default for jobs without a model.")] = None,
    system: Annotated[str | None, typer.Option(help="Default system prompt.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Default output limit.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="Default temperature.")
    ] = None,
    priority: Annotated[Priority | None, typer.Option(help="Share of a busy queue.")] = None,
    lane: Lane = None,
    max_cost_usd: MaxCost = None,
    deadline: Deadline = None,
    after_deadline: AfterDeadline = None,
    run_window: RunWindow = None,
    accept_late: Annotated[
        bool, typer.Option("--accept-late", help="Take it in also if it can't meet its deadline.")
    ] = False,
    failover_after_s: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to wait for a target before a route's next one."),
    ] = None,
    settings: Settings = None,
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
        typer.Option(
            min=1,
            help="Tokens that a cut-off answer may get at most. Default: twice its job's limit.",
        ),
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
    idempotency_key: IdempotencyKey = None,
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
    watch: Watch = False,
    output: Output = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Submit files of jobs as one batch: all of it is accepted, or nothing.

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
        "template": template,
        "id_column": id_column,
        "delimiter": delimiter,
        "name": name,
        "kind": kind,
        "model": model,
        "system": system,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "priority": priority,
        "lane": lane,
        "max_cost_usd": max_cost_usd,
        "deadline": deadline,
        "after_deadline": after_deadline,
        "run_window": run_window,
        "accept_late": "true" if accept_late else None,
        "failover_after_s": failover_after_s,
        "repair": repair,
        "ask_again": ask_again,
        "raise_max_tokens": raise_max_tokens,
        "escalate": escalate,
        "collapse": collapse,
        "reuse": reuse,
    }
    defaults = {field: str(value) for field, value in given.items() if value is not None}
    defaults |= fields_of(settings)
    job_files = JobFiles.of(files, form)
    defaults |= job_files.query
    with connect(url, key) as client, job_files.opened(defaults) as upload:
        sending = Sending(client, job_files.first, retry_for, is_quiet=as_json)
        if dry_run:
            quote = sending.quote(upload, defaults)
            tell_quote(quote, as_json=as_json)
            raise typer.Exit(ExitStatus.REJECTED if quote["fault_count"] else ExitStatus.OK)
        if sample is not None:
            sampling = Sampling(sending, upload, defaults, str(idempotency_key), sample, as_json)
            sampling.run(goes_on=yes)
        batch = sending.submit(upload, defaults, str(idempotency_key))
        if watch or output is not None:
            stay(client, batch, output, as_json=as_json)
    if as_json:
        print_json(batch)
    else:
        stdout().print(accepted(batch))
        stdout().print(f"`tidemill watch {batch['id']}` follows it.")
