"""How a command ends: its exit status, and the one line that says what went wrong."""

import errno
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from jobs.errors import (
    InvalidSubmission,
    NotAuthorised,
    NotFound,
    ServiceUnavailable,
    TidemillError,
)
from scripts.command.render import printable, stderr
from scripts.command.tables import fault_table

DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class ExitStatus(IntEnum):
    """What an exit status means; `tidemill --help` tells the same."""

    OK = 0
    BATCH_FAILED = 1
    REJECTED = 2
    NOT_AUTHORISED = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
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


class Commands(TyperGroup):
    """The group of all commands: turns an expected error into a line and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            value = super().invoke(ctx)
            sys.stdout.flush()
        except TidemillError as error:
            report(error)
            raise typer.Exit(exit_status(error)) from None
        except OSError as error:
            if error.errno not in DISK_FAULTS:
                raise
            _let_go_of_stdout()
            say(f"the output can't be written: {error.strerror}")
            raise typer.Exit(ExitStatus.REJECTED) from None
        return value


def _let_go_of_stdout() -> None:
    """Point stdout elsewhere: what it still holds would fail once more when the process ends."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def report(error: TidemillError) -> None:
    """Say on stderr what is wrong: one line, and the bad lines of a submission as a table."""
    say(error.message)
    if isinstance(error, InvalidSubmission) and error.faults:
        stderr().print(fault_table(error.faults))
        if (more := error.fault_count - len(error.faults)) > 0:
            say(f"{more:,} more faults are not listed")


def say(message: str) -> None:
    """Print one line on stderr."""
    typer.echo(f"tidemill: {printable(message)}", err=True)


def end_unexpectedly(error: Exception) -> ExitStatus:
    """Say that this program failed: to a person in one line, to a log with the traceback."""
    reason = printable(traceback.format_exception_only(error)[-1].strip())
    trace = "".join(traceback.format_exception(error))
    if sys.stderr.isatty():
        with tempfile.NamedTemporaryFile(
            "w", prefix="tidemill-", suffix=".traceback", encoding="utf-8", delete=False
        ) as file:
            file.write(trace)
        say(f"a fault in this program: {reason} (more in {file.name})")
    else:
        sys.stderr.write(trace)
        say(f"a fault in this program: {reason}")
    return ExitStatus.BATCH_FAILED
