"""`tidemill watch`: follow a batch to its end, through restarts of the server, or many at once."""

import sys
import time
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from jobs.errors import ServiceUnavailable
from jobs.states import FINAL_BATCH_STATES, BatchState
from scripts.command.client import Client
from scripts.command.connection import DEFAULT_URL, Json, Key, Url, connect
from scripts.command.ending import Ended, ExitStatus
from scripts.command.progress import Display, Pace, Standing, display
from scripts.command.render import JsonObject, print_json, printable, stderr, stdout
from scripts.command.tables import batch_summary
from scripts.command.watch_many import watch_many

LOOK_EVERY_S = 0.5
LONGEST_PAUSE_S = 5.0
"""Between two tries while the server does not answer, so that no crowd meets it on return."""


def follow(
    client: Client,
    batch_id: str,
    shown: Display,
    *,
    stays_when_paused: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> JsonObject:
    """Show the batch's progress until it has ended, and return it.

    A server that does not answer is waited for, however long. `clock` and `sleep` are in seconds.
    A batch that is paused and has no call in flight waits for somebody: with `stays_when_paused`
    that is said and watched on, without it the batch is returned.

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
                _note_wait(shown, batch, stays_when_paused)
            waiting_for = standing.waiting_for
            if standing.state in FINAL_BATCH_STATES or (not stays_when_paused and rests(batch)):
                return batch
        sleep(pause_s)


def _note_wait(shown: Display, batch: JsonObject, stays_when_paused: bool) -> None:
    shown.note(f"waiting for: {printable(batch['waiting_for'])}")
    if stays_when_paused and batch["state"] == BatchState.PAUSED:
        shown.note(ways_on(batch))


def rests(batch: JsonObject) -> bool:
    """Whether a batch is paused, by its owner or a budget, and nothing of it is in flight."""
    return bool(batch["state"] == BatchState.PAUSED and not batch["counts"]["running"])


def ways_on(batch: JsonObject) -> str:
    """Say how a paused batch goes on; only what keeps it tells which of the ways will do."""
    batch_id = batch["id"]
    ways = f"`tidemill resume {batch_id}` lets it go on"
    if "budget" in str(batch["waiting_for"]):
        raised = f"`tidemill budget --batch {batch_id} --max-cost USD` raises a batch's budget"
        ways = f"{raised}, {ways} once there is room"
    return f"{ways}; `tidemill cancel {batch_id}` ends it"


def follow_on_terminal(client: Client, batch_id: str, *, as_json: bool) -> JsonObject:
    """Follow the batch on stderr, until it rests if nobody is at a terminal.

    Raises:
        Ended: Ctrl-C; the batch goes on, and the message says how to follow it again.
    """
    at_terminal = sys.stderr.isatty()
    try:
        with display(stderr(), is_quiet=as_json and not at_terminal) as shown:
            return follow(client, batch_id, shown, stays_when_paused=at_terminal)
    except KeyboardInterrupt:
        raise Ended(
            ExitStatus.INTERRUPTED,
            "interrupted",
            f"the batch goes on: `tidemill watch {batch_id}` follows it, "
            f"`tidemill cancel {batch_id}` stops it",
        ) from None


def finish(batch: JsonObject, *, as_json: bool) -> NoReturn:
    """Print how a batch ended or why it rests, and end with its exit status."""
    if as_json:
        print_json(batch)
    else:
        stdout().print(batch_summary(batch))
    if rests(batch):
        reason = f"batch {batch['id']} is paused: {batch['waiting_for'] or 'by its owner'}"
        raise Ended(ExitStatus.PAUSED, "paused", f"{reason}; {ways_on(batch)}")
    raise typer.Exit(ending_of(batch))


def ending_of(batch: JsonObject) -> ExitStatus:
    """Return the exit status of a batch that has ended: OK if every job succeeded."""
    flawless = batch["counts"]["succeeded"] == batch["counts"]["total"]
    return ExitStatus.OK if batch["state"] == "completed" and flawless else ExitStatus.BATCH_FAILED


def _finish_many(client: Client, batch_ids: list[str], *, as_json: bool) -> NoReturn:
    """Show many batches, and end with the exit status of the worst of those that were named."""
    batches = watch_many(client, batch_ids, is_quiet=as_json).batches
    if as_json:
        print_json({"data": batches})
    ended = [ending_of(batch) for batch in batches if batch["state"] in FINAL_BATCH_STATES]
    raise typer.Exit(max(ended, default=ExitStatus.OK) if batch_ids else ExitStatus.OK)


BatchIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="The batches; without any, all that there are."),
]


def watch(
    batch_ids: BatchIds = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Follow a batch to its end; exit status 1 if any of its jobs has no answer.

    Without an ID, or with several, all are shown at once, with the pools below, until `q` is pressed;
    without a terminal as lines, until all have ended. Ctrl-C leaves batches running. One that is
    watched alone and is paused, by its owner or by a budget, is watched on at a terminal; without one
    the command ends with status 6.
    """
    with connect(url, key) as client:
        if batch_ids is None or len(batch_ids) != 1:
            _finish_many(client, batch_ids or [], as_json=as_json)
        (batch_id,) = batch_ids or []
        finish(follow_on_terminal(client, batch_id, as_json=as_json), as_json=as_json)
