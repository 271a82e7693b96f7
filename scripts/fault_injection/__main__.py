"""`scripts/chaos`: see `--help`."""

import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console

from jobs.errors import TidemillError
from scripts.benchmarks.system import HOMES
from scripts.fault_injection.arguments import Options, parse_arguments
from scripts.fault_injection.report import print_run
from scripts.fault_injection.rig import Rig
from scripts.fault_injection.run import Run, figures, findings
from scripts.fault_injection.trial import run_trial
from scripts.launcher.descriptors import raise_limit

PROGRESS = Console(stderr=True, highlight=False)
OUTPUT = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
PLAIN_EVERY_S = 10.0
"""Between two lines of progress where no line can be written over."""


def main(argv: Sequence[str]) -> int:
    """Run, print, and return the exit status: 1 if a promise was broken."""
    options = parse_arguments(argv)
    raise_limit()  # a connection of every call passes here, twice
    PROGRESS.print(f"seed {options.seed}")
    try:
        run = asyncio.run(_run(options))
    except TidemillError as error:
        PROGRESS.print(f"chaos: {error.message}", style="red", markup=False, soft_wrap=True)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        PROGRESS.print("chaos: interrupted")
        return 1
    print_run(OUTPUT, run)
    if options.json is not None:
        options.json.write_text(json.dumps(figures(run), indent=2), encoding="utf-8")
    broken = findings(run)
    for finding in broken:
        PROGRESS.print(f"WRONG: {finding}", style="bold red", markup=False, soft_wrap=True)
    return int(bool(broken))


async def _run(options: Options) -> Run:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    with PROGRESS.status("") as status:
        say = status.update if PROGRESS.is_terminal else _now_and_then()
        return await run_trial(options, say, _keeper(options))


def _now_and_then() -> Callable[[str], None]:
    said_at = -PLAIN_EVERY_S

    def say(line: str) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= PLAIN_EVERY_S:
            said_at = time.monotonic()
            PROGRESS.print(line, markup=False, soft_wrap=True)

    return say


def _keeper(options: Options) -> Callable[[Rig], None]:
    def keep(rig: Rig) -> None:
        if options.keep:
            kept = HOMES / f"chaos-{options.store}-{options.seed}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(rig.home, kept)
            PROGRESS.print(f"kept in {kept}", markup=False)

    return keep


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
