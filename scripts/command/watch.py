"""`tidemill watch`: follow a batch to its end, through restarts of the server."""

import time
from collections.abc import Callable
from typing import NoReturn

import typer

from jobs.errors import ServiceUnavailable
from jobs.states import FINAL_BATCH_STATES
from scripts.command.client import Client
from scripts.command.connection import DEFAULT_URL, BatchId, Json, Key, Url, connect
from scripts.command.ending import ExitStatus, say
from scripts.command.progress import Display, Pace, Standing, display
from scripts.command.render import JsonObject, print_json, stderr, stdout
from scripts.command.tables import batch_summary

LOOK_EVERY_S = 0.5
LONGEST_PAUSE_S = 5.0
"""Between two tries while the server does not answer, so that no crowd meets it on return."""


def follow(
    client: Client,
    batch_id: str,
    shown: Display,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> JsonObject:
    """Show the batch's progress until it has ended, and return it.

    A server that does not answer is waited for, however long. `clock` and `sleep` are in seconds.

    Raises:
        NotAuthorised, NotFound: as the server says.
    """
    pace, waiting_for, pause_s = Pace(), "", LOOK_EVERY_S
    while True:
        try:
            batch = client.batch(batch_id)
        except ServiceUnavailable as error:
            if pause_s == LOOK_EVERY_S:
                shown.note(f"{error.message}; trying again")
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        else:
            if pause_s != LOOK_EVERY_S:
                shown.note("the server is back")
            pause_s, standing = LOOK_EVERY_S, Standing.of(batch)
            pace.add(clock(), standing.done)
            shown.show(standing, pace.jobs_per_s())
            if standing.waiting_for not in {"", waiting_for}:
                shown.note(f"waiting for: {standing.waiting_for}")
            waiting_for = standing.waiting_for
            if standing.state in FINAL_BATCH_STATES:
                return batch
        sleep(pause_s)


def follow_on_terminal(client: Client, batch_id: str) -> JsonObject:
    """Follow the batch on stderr. Ctrl-C says how to go on, and leaves the batch running."""
    try:
        with display(stderr()) as shown:
            return follow(client, batch_id, shown)
    except KeyboardInterrupt:
        say(
            f"the batch goes on: `tidemill watch {batch_id}` follows it, `tidemill cancel` stops it"
        )
        raise typer.Exit(ExitStatus.INTERRUPTED) from None


def finish(batch: JsonObject, *, as_json: bool) -> NoReturn:
    """Print how a batch ended, and end with its exit status."""
    if as_json:
        print_json(batch)
    else:
        stdout().print(batch_summary(batch))
    raise typer.Exit(ending_of(batch))


def ending_of(batch: JsonObject) -> ExitStatus:
    """Return the exit status of a batch that has ended: OK if every job succeeded."""
    flawless = batch["counts"]["succeeded"] == batch["counts"]["total"]
    return ExitStatus.OK if batch["state"] == "completed" and flawless else ExitStatus.BATCH_FAILED


def watch(
    batch_id: BatchId,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Follow a batch to its end; exit status 1 if any of its jobs has no answer.

    Ctrl-C leaves the batch running.
    """
    with connect(url, key) as client:
        finish(follow_on_terminal(client, batch_id), as_json=as_json)
