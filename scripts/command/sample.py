"""`tidemill submit --sample`: run a few jobs of a file first, and quote the rest from what they took."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text
from typer.core import TyperCommand

from scripts.command.ending import Ended, ExitStatus
from scripts.command.job_lines import as_upload, job_lines, spread
from scripts.command.quote import between, tell_quote
from scripts.command.render import JsonObject, dollars, print_json, printable, stdout
from scripts.command.results import Order
from scripts.command.sample_quote import refine
from scripts.command.sending import Sending, readable
from scripts.command.tables import figure, outcome
from scripts.command.upload import Upload
from scripts.command.watch import follow_on_terminal, rests, ways_on

DEFAULT_JOBS = 20

LONGEST_INPUT = 160
"""Characters of a job's own words in a table."""

LONGEST_NAME = 180
"""Of a batch, to which is added what it is."""

_WORDS = ("prompt", "text", "messages", "variables")
"""Where a line's own words are, whatever its kind; of another package's kind the line is shown."""


class SampleCommand(TyperCommand):
    """A command whose `--sample` may stand without its number."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Fill in the number where it is left out: Typer knows no optional values."""
        filled: list[str] = []
        for word, following in zip(args, [*args[1:], ""], strict=True):
            filled.append(word)
            if word == "--sample" and not following.lstrip("-").isdecimal():
                filled.append(str(DEFAULT_JOBS))
        return super().parse_args(ctx, filled)


@dataclass(frozen=True, slots=True)
class Sampling:
    """A submission of which `wanted` jobs are run before the rest is."""

    sending: Sending
    upload: Upload
    defaults: dict[str, str]
    idempotency_key: str
    wanted: int
    as_json: bool

    def run(self, *, goes_on: bool) -> None:
        """Quote all jobs, run and show some, quote again; return if all are to be submitted.

        Without `goes_on` that is asked at a terminal.

        Raises:
            typer.Exit: they are not.
            Ended: the sample can't be had, or has told nothing.
        """
        quote = self.sending.quote(self.upload, self.defaults)
        if not self.as_json or quote["fault_count"]:
            tell_quote(quote, as_json=self.as_json)
        if quote["fault_count"]:
            raise typer.Exit(ExitStatus.REJECTED)
        jobs = self._picked(quote["jobs"])
        batch = self._watched(jobs)
        results = [
            json.loads(line) for line in self.sending.client.results(batch["id"], Order.INPUT)
        ]
        refined = refine(quote, batch, results)
        if self.as_json:
            sample = {"batch": batch, "jobs": _beside(jobs, results)}
            print_json({"quote": quote, "sample": sample, "refined": refined})
        else:
            stdout().print(_sample_table(jobs, results))
            stdout().print(_summary(quote, refined))
        if not batch["counts"]["succeeded"]:
            raise Ended(
                ExitStatus.BATCH_FAILED,
                "sample_failed",
                "no job of the sample succeeded; nothing more was submitted",
            )
        if not (goes_on or self._is_agreed(quote, refined)):
            raise typer.Exit(ExitStatus.OK)

    def _picked(self, total: int) -> list[bytes]:
        if total <= self.wanted:
            raise Ended(
                ExitStatus.REJECTED,
                "sample_too_large",
                f"a sample of {self.wanted:,} would be all of the {total:,} jobs that there are; "
                "submit them, or take a smaller one",
            )
        with readable(self.sending.file):
            return spread(job_lines(self.upload), total, self.wanted)

    def _watched(self, jobs: Sequence[bytes]) -> JsonObject:
        name = self.defaults.get("name", self.sending.file.name)[:LONGEST_NAME]
        # The same command with the same key finds the sample that it has paid for.
        key = hashlib.sha256(f"{self.idempotency_key}\0sample".encode()).hexdigest()
        begun = self.sending.submit(
            as_upload(jobs), {**self.defaults, "name": f"{name} (sample)"}, key
        )
        batch = follow_on_terminal(self.sending.client, begun["id"], as_json=self.as_json)
        if rests(batch):
            raise Ended(
                ExitStatus.PAUSED,
                "paused",
                f"the sample, batch {batch['id']}, is paused: {batch['waiting_for']}; {ways_on(batch)}",
            )
        return batch

    def _is_agreed(self, quote: JsonObject, refined: JsonObject) -> bool:
        if self.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        cost = refined["cost_usd"] or quote["cost_usd"]
        price = "an unknown sum" if cost is None else f"about {between(cost)}"
        return typer.confirm(f"submit all {quote['jobs']:,} jobs for {price}?", err=True)


def words_of(job: bytes) -> str:
    """Return a job's own words, shortened, on one line."""
    line = json.loads(job)
    words = next((line[name] for name in _WORDS if line.get(name)), line)
    if isinstance(words, list):
        words = words[-1].get("content", words)
    text = words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    text = printable(text.strip())
    return text if len(text) <= LONGEST_INPUT else f"{text[: LONGEST_INPUT - 1]}…"


def _beside(jobs: Sequence[bytes], results: Sequence[JsonObject]) -> list[JsonObject]:
    """Return each job as it was sent, with its result."""
    found = {result["custom_id"]: result for result in results}
    lines = [json.loads(job) for job in jobs]
    return [{"job": line, "result": found.get(line["custom_id"])} for line in lines]


def _sample_table(jobs: Sequence[bytes], results: Sequence[JsonObject]) -> Table:
    table = Table(
        Column("custom_id", overflow="fold", max_width=24),
        Column("input", ratio=1, overflow="fold"),
        Column("output", ratio=1, overflow="fold"),
        figure("cost"),
        box=SIMPLE,
        pad_edge=False,
        expand=True,
    )
    for job, pair in zip(jobs, _beside(jobs, results), strict=True):
        result = pair["result"]
        table.add_row(
            printable(pair["job"]["custom_id"]),
            words_of(job),
            "" if result is None else outcome(result),
            "" if result is None else dollars(result["cost_usd"]),
        )
    return table


def _summary(quote: JsonObject, refined: JsonObject) -> Table:
    each, output, cost = (
        refined[name] for name in ("output_tokens_per_job", "output_tokens", "cost_usd")
    )
    rows = [("sampled", f"{refined['sampled_jobs']:,} jobs, {refined['failed_jobs']:,} failed")]
    if refined["bad_answers"]:
        share = f"{100 * refined['bad_answer_share']:.1f} % of calls"
        spent = dollars(refined["bad_answers_cost_usd"])
        rows.append(("bad answers", f"{refined['bad_answers']:,}, {share}, which cost {spent}"))
    if each is not None and output is not None:
        spread_out = f"{each['mean']:,} tokens a job, give or take {each['deviation']:,}"
        rows.append(("tokens out", f"{output['low']:,} – {output['high']:,} in all: {spread_out}"))
    if cost is None:
        rows.append(("cost", "no better known than before"))
    else:
        before = "unknown" if quote["cost_usd"] is None else between(quote["cost_usd"])
        rows.append(("cost", f"{between(cost)} in all (the quote said {before})"))
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), value)
    return table
