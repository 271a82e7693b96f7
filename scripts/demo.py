"""The demo: everything started on this machine, thirty real texts through a real model, the bill.

It drives the same commands that a person would type: `tidemill up`, `submit --watch`, `usage`.
"""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel

from scripts.command.ending import ExitStatus
from scripts.command.tables import result_table
from scripts.demo_texts import jobs
from scripts.launcher import local_model
from scripts.launcher.ready import free_port
from scripts.own_tidemill import HOST, OwnTidemill, failures_told

COMMAND_WITHIN_S = 300.0
"""Ten times what a batch takes on two cores; one that nobody works on is not watched for ever."""

BAD_ANSWERS = frozenset(
    {
        "refused",
        "model_malfunction",
        "degenerate_output",
        "truncated",
        "empty_output",
        "invalid_json",
        "schema_violation",
    }
)
"""The model answered and the answer is no good: no failure of Tidemill, which found it out."""

JsonObject = dict[str, Any]


def run(demo: OwnTidemill, console: Console, *, keep: bool) -> ExitStatus:
    """Run the demo and return its exit status.

    Raises:
        ServiceUnavailable: Tidemill does not start, or a command of it does not work.
    """
    began = time.monotonic()
    with demo.running(console) as up:
        console.print(f"Tidemill is ready after {time.monotonic() - began:.1f} s.")
        console.print(f"Address: {demo.url}/  Flower: http://{HOST}:{demo.flower_port}/")
        results = _submit(demo, console)
        console.print(result_table(results))
        demo.command(console, "usage", "--by", "provider,model", within_s=COMMAND_WITHIN_S)
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


def _submit(demo: OwnTidemill, console: Console) -> list[JsonObject]:
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
    argv = ("submit", str(submission), *options, "--watch", "-o", str(output))
    demo.command(console, *argv, within_s=COMMAND_WITHIN_S)
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def _places(demo: OwnTidemill, *, keep: bool) -> Panel:
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
    console = Console(highlight=False)
    demo = OwnTidemill(home.resolve(), port=free_port(), flower_port=free_port())
    with failures_told("demo", console):
        status = run(demo, console, keep=keep)
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
