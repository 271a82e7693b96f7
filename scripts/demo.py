"""The demo: everything started on this machine, thirty real texts through a real model, the bill.

It drives the same commands that a person would type: `tidemill up`, `submit --watch`, `usage`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.panel import Panel

from jobs.configuration import load_configuration
from jobs.errors import ServiceUnavailable, TidemillError
from scripts.command.ending import ExitStatus
from scripts.command.tables import result_table
from scripts.demo_texts import jobs
from scripts.launcher import local_model
from scripts.launcher.parent import bound_to_this_process
from scripts.launcher.ready import answers, free_port

HOST = "127.0.0.1"
READY_WITHIN_S = 120.0
COMMAND_WITHIN_S = 300.0
"""Ten times what a batch takes on two cores; one that nobody works on is not watched for ever."""

STOP_WITHIN_S = 60.0
"""Longer than the launcher's own grace for calls in flight."""

LAST_LOG_LINES = 15

BAD_ANSWERS = frozenset(
    {
        "refused",
        "model_malfunction",
        "truncated",
        "empty_output",
        "invalid_json",
        "schema_violation",
    }
)
"""The model answered and the answer is no good: no failure of Tidemill, which found it out."""

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Demo:
    """One run: where it keeps everything, and where its servers listen."""

    home: Path
    port: int
    flower_port: int

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What `tidemill up` says."""
        return self.home / "up.log"

    def environment(self) -> dict[str, str]:
        """Return the environment of every command: nothing of the user's own Tidemill."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMILL_")}
        return kept | {
            "TIDEMILL_HOME": str(self.home),
            "TIDEMILL_CONFIG": str(self.home / "tidemill.toml"),
            "TIDEMILL_URL": self.url,
        }


def run(demo: Demo, console: Console, *, keep: bool) -> ExitStatus:
    """Run the demo and return its exit status.

    Raises:
        ServiceUnavailable: Tidemill does not start, or a command of it does not work.
    """
    demo.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    began = time.monotonic()
    with _tidemill_up(demo, console) as up:
        console.print(f"Tidemill is ready after {time.monotonic() - began:.1f} s.")
        console.print(f"Address: {demo.url}/  Flower: http://{HOST}:{demo.flower_port}/")
        results = _submit(demo, console)
        console.print(result_table(results))
        _tidemill(demo, console, "usage", "--by", "provider,model")
        status = judge(results, len(jobs()))
        console.print(_places(demo, keep=keep))
        console.print(_closing_line(results, status, time.monotonic() - began))
        if keep:
            with suppress(KeyboardInterrupt):
                up.wait()
    return status


def judge(results: Sequence[JsonObject], expected: int) -> ExitStatus:
    """Return whether every job ran: it has an answer, be it a bad one."""
    ran = [result for result in results if _ran(result)]
    return ExitStatus.OK if len(ran) == len(results) == expected else ExitStatus.BATCH_FAILED


def _ran(result: JsonObject) -> bool:
    error = result["error"]
    return result["status"] == "succeeded" or (error is not None and error["code"] in BAD_ANSWERS)


@contextmanager
def _tidemill_up(demo: Demo, console: Console) -> Iterator[subprocess.Popen[bytes]]:
    ports = ("--port", str(demo.port), "--flower-port", str(demo.flower_port))
    argv = _argv("up", "--local-model", "--host", HOST, *ports)
    with demo.log.open("wb") as log:
        up = subprocess.Popen(  # noqa: S603 - our own program
            argv,
            env=demo.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C comes to this process, which then stops the other in order
            preexec_fn=bound_to_this_process(),  # noqa: PLW1509 - this process has one thread
        )
    try:
        with console.status("Starting Tidemill with a model of its own…"):
            _wait_until_ready(demo, up)
        yield up
    finally:
        with console.status("Stopping…"):
            _stop(up)


def _wait_until_ready(demo: Demo, up: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not _is_ready(demo):
        if up.poll() is not None or time.monotonic() > deadline:
            lines = demo.log.read_text(encoding="utf-8", errors="replace").splitlines()
            tail = "\n  ".join(lines[-LAST_LOG_LINES:])
            raise ServiceUnavailable(f"Tidemill did not start; the end of {demo.log}:\n  {tail}")
        time.sleep(0.1)


def _is_ready(demo: Demo) -> bool:
    if not answers(HOST, demo.port, "/readyz"):
        return False
    # The model loads meanwhile: calls that it refuses until then would stand in the usage.
    configuration = load_configuration(demo.home / "local-model.toml")
    port = urlsplit(configuration.providers[local_model.PROVIDER].base_url).port
    return port is not None and answers(HOST, port, "/health")


def _stop(up: subprocess.Popen[bytes]) -> None:
    up.send_signal(signal.SIGTERM)
    try:
        up.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        up.kill()
        up.wait()


def _submit(demo: Demo, console: Console) -> list[JsonObject]:
    submission, output = demo.home / "demo.jsonl", demo.home / "demo-results.jsonl"
    lines = [f"{json.dumps(job, ensure_ascii=False)}\n" for job in jobs()]
    submission.write_text("".join(lines), encoding="utf-8")
    output.unlink(missing_ok=True)
    options = (
        "--name",
        "demo",
        "--kind",
        "generation",
        "--model",
        local_model.MODEL,
        "--max-cost-usd",
        "0.01",
    )
    _tidemill(demo, console, "submit", str(submission), *options, "--watch", "-o", str(output))
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def _tidemill(demo: Demo, console: Console, *arguments: str) -> None:
    """Run a command, its output where a person sees it."""
    console.print(f"\n[bold]$ tidemill {' '.join(arguments)}[/]", soft_wrap=True)
    try:
        status = subprocess.run(  # noqa: S603 - our own program
            _argv(*arguments), env=demo.environment(), check=False, timeout=COMMAND_WITHIN_S
        ).returncode
    except subprocess.TimeoutExpired:
        status = None
    if status not in {ExitStatus.OK, ExitStatus.BATCH_FAILED}:
        how = "did not end in time" if status is None else f"ended with status {status}"
        raise ServiceUnavailable(
            f"`tidemill {arguments[0]}` {how}; logs are in {demo.home / 'logs'}"
        )


def _argv(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "scripts.command", *arguments)


def _places(demo: Demo, *, keep: bool) -> Panel:
    if not keep:
        return Panel.fit(
            "scripts/demo --keep leaves it running, with Flower to look at.\n"
            f"What it wrote is in {demo.home}",
            title="Next",
        )
    return Panel.fit(
        f"Address    {demo.url}/  (key in {demo.home / 'api-key'})\n"
        f"Flower     http://{HOST}:{demo.flower_port}/  "
        f"(user tidemill, password in {demo.home / 'flower-password'})\n"
        f"Command    TIDEMILL_HOME={demo.home} TIDEMILL_URL={demo.url} tidemill batches\n"
        "Stop       Ctrl-C",
        title="Running",
    )


def _closing_line(results: Sequence[JsonObject], status: ExitStatus, took_s: float) -> str:
    succeeded = sum(result["status"] == "succeeded" for result in results)
    figures = f"{succeeded} of {len(results)} jobs succeeded in {took_s:.0f} s all in all."
    price = "The price is nominal: this model runs here and costs nothing."
    if status is not ExitStatus.OK:
        return f"[red]Some jobs did not run.[/] {figures} {price}"
    return f"[green]Every job ran.[/] {figures} {price}"


def main(
    home: Annotated[
        Path, typer.Option(help="Where the demo keeps its database, logs and results.")
    ] = Path(".tidemill/demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running until Ctrl-C.")] = False,
) -> None:
    """Start Tidemill on this machine, run thirty jobs on a small model, and show the bill."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it as Ctrl-C does
    console = Console(highlight=False)
    demo = Demo(home.resolve(), port=free_port(), flower_port=free_port())
    try:
        status = run(demo, console, keep=keep)
    except TidemillError as error:
        console.print(f"demo: {error.message}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(ExitStatus.UNREACHABLE) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
