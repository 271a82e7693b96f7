"""How a script that shows something ends when it can't go on."""

import os
import signal
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
import typer
from rich.console import Console

from jobs.errors import ServiceUnavailable
from scripts.command.ending import ExitStatus
from scripts.own_tidemill import failures_told


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Leave the process as it was: the script takes SIGTERM over."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def unreachable() -> None:
    raise ServiceUnavailable("nobody is there")


def interrupted() -> None:
    raise KeyboardInterrupt


def terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("happens", "status", "said"),
    [
        (unreachable, ExitStatus.UNREACHABLE, "show: nobody is there\n"),
        (interrupted, ExitStatus.INTERRUPTED, ""),
        (terminated, ExitStatus.INTERRUPTED, ""),
    ],
)
def test_what_keeps_a_script_from_going_on_is_its_exit_status(
    happens: Callable[[], None], status: ExitStatus, said: str
) -> None:
    output = StringIO()
    with pytest.raises(typer.Exit) as ended, failures_told("show", Console(file=output)):
        happens()
    assert ended.value.exit_code == status
    assert output.getvalue() == said
