"""`tidemill retry`: the jobs of a batch once more, without paying again for what is good."""

from typing import Annotated

import typer

from jobs.states import Priority
from scripts.command.connection import DEFAULT_URL, BatchId, Json, Key, Url, connect
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
from scripts.command.render import print_json, stdout
from scripts.command.results import check_writable


def retry(  # noqa: PLR0913 - a command's options are its parameters
    batch_id: BatchId,
    codes: Annotated[
        list[str] | None,
        typer.Option(
            "--code",
            metavar="CODE",
            help="Run only jobs again that failed with this error code; may be given often.",
        ),
    ] = None,
    settings: Settings = None,
    name: Annotated[str | None, typer.Option(help="What the new batch is called.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Share of a busy queue.")] = None,
    lane: Lane = None,
    max_cost_usd: MaxCost = None,
    deadline: Deadline = None,
    after_deadline: AfterDeadline = None,
    run_window: RunWindow = None,
    idempotency_key: IdempotencyKey = None,
    watch: Watch = False,
    output: Output = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Make a new batch of the jobs of one that has ended; what is not said is as there.

    Answers that succeeded are kept and cost nothing, and jobs that failed are run again: all of them, or
    those with the codes that are given. With --set, stored answers are judged again first. One that is not
    good any more is asked for, and an unusable one that is good now is taken as it is.
    """
    if output is not None:
        check_writable(output)
    given = {
        "name": name,
        "priority": priority,
        "lane": lane,
        "max_cost_usd": max_cost_usd,
        "deadline": deadline,
        "after_deadline": after_deadline,
        "run_window": run_window,
    }
    changes = {field: str(value) for field, value in given.items() if value is not None}
    changes |= fields_of(settings)
    if codes:
        changes["code"] = ",".join(codes)
    with connect(url, key) as client:
        batch = client.retry(batch_id, changes, str(idempotency_key))
        if watch or output is not None:
            stay(client, batch, output, as_json=as_json)
    if as_json:
        print_json(batch)
    else:
        stdout().print(accepted(batch))
        stdout().print(f"`tidemill watch {batch['id']}` follows it.")
