"""How a command ends: its exit status, and what went wrong, for a person or as JSON."""

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

import tidemill
from jobs.errors import (
    InvalidSubmission,
    LineFault,
    NotAuthorised,
    NotFound,
    ServiceUnavailable,
    TidemillError,
)
from scripts.command.render import printable, stderr
from scripts.command.tables import fault_table
from scripts.launcher.full_disk import NO_ROOM


class ExitStatus(IntEnum):
    """What an exit status means; `tidemill --help` tells the same."""

    OK = 0
    BATCH_FAILED = 1
    REJECTED = 2
    NOT_AUTHORISED = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    PAUSED = 6
    UNBALANCED = 7
    INTERRUPTED = 130


_STATUSES: tuple[tuple[type[TidemillError], ExitStatus], ...] = (
    (NotAuthorised, ExitStatus.NOT_AUTHORISED),
    (NotFound, ExitStatus.NOT_FOUND),
    (ServiceUnavailable, ExitStatus.UNREACHABLE),
    (TidemillError, ExitStatus.REJECTED),
)
"""The first row that fits counts."""


def exit_status(error: TidemillError) -> ExitStatus:
    """Return the exit status with which a command ends that `error` stopped."""
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


class Ended(Exception):
    """A command ends here, with this status and one line about it."""

    def __init__(self, status: ExitStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Commands(TyperGroup):
    """The group of all commands: turns an expected error into its report and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command. With --json also wrong usage is reported as JSON."""
        as_json = wants_json([*ctx._protected_args, *ctx.args])
        try:
            value = super().invoke(ctx)
            sys.stdout.flush()
        except TidemillError as error:
            report(error, as_json=as_json)
            raise typer.Exit(exit_status(error)) from None
        except Ended as end:
            complain(end.code, end.message, as_json=as_json)
            raise typer.Exit(end.status) from None
        except typer.TyperException as error:
            if not as_json:
                raise
            complain("wrong_usage", error.format_message(), as_json=True)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            _let_go_of_stdout()
            complain(
                "disk_fault", f"the output can't be written: {error.strerror}", as_json=as_json
            )
            raise typer.Exit(ExitStatus.REJECTED) from None
        return value


def _let_go_of_stdout() -> None:
    """Point stdout elsewhere: what it still holds would fail once more when the process ends."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON; known before any of it was understood."""
    return "--json" in arguments


def report(error: TidemillError, *, as_json: bool) -> None:
    """Say on stderr what is wrong: one line, and the bad lines of a submission as a table."""
    faults = error.faults if isinstance(error, InvalidSubmission) else ()
    if as_json:
        complain(error.code, error.message, as_json=True, status=_http_status(error), faults=faults)
        return
    say(error.message)
    if isinstance(error, InvalidSubmission) and faults:
        stderr().print(fault_table(faults))
        if (more := error.fault_count - len(faults)) > 0:
            say(f"{more:,} more faults are not listed")


def complain(
    code: str,
    message: str,
    *,
    as_json: bool,
    status: int | None = None,
    faults: Iterable[LineFault] = (),
) -> None:
    """Say one thing on stderr: a line for a person, or `{"error": {…}}` on one line.

    Args:
        code: a stable word; the server's own where it gave one.
        message: one sentence.
        as_json: for a program.
        status: of the HTTP answer, if there was one.
        faults: bad lines of a submission.
    """
    if not as_json:
        say(message)
        return
    error: dict[str, object] = {"code": code, "message": message}
    if status is not None:
        error["status"] = status
    error["faults"] = [
        {"line": f.line, "field": f.field, "code": f.code, "message": f.message} for f in faults
    ]
    typer.echo(json.dumps({"error": error}, ensure_ascii=False), err=True)


def _http_status(error: TidemillError) -> int | None:
    cause = error.__cause__
    return cause.status if isinstance(cause, tidemill.TidemillError) else None


def say(message: str) -> None:
    """Print one line on stderr."""
    typer.echo(f"tidemill: {printable(message)}", err=True)


def end_unexpectedly(error: Exception, *, as_json: bool = False) -> ExitStatus:
    """Say that this program failed: in one line that names a file, or to a log with the traceback."""
    reason = printable(traceback.format_exception_only(error)[-1].strip())
    trace = "".join(traceback.format_exception(error))
    more = ""
    if as_json or sys.stderr.isatty():
        with tempfile.NamedTemporaryFile(
            "w", prefix="tidemill-", suffix=".traceback", encoding="utf-8", delete=False
        ) as file:
            file.write(trace)
        more = f" (more in {file.name})"
    else:
        sys.stderr.write(trace)
    message = f"a fault in this program: {reason}{more}"
    complain("internal_error", message, as_json=as_json)
    return ExitStatus.BATCH_FAILED
