"""`tidemill submit --sample`: run a few jobs of a file first, and quote the rest from what they took."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand

from scripts.command.ending import Ended, ExitStatus
from scripts.command.job_lines import as_upload, job_lines, spread
from scripts.command.quote import between, tell_quote
from scripts.command.render import JsonObject, print_json, stdout
from scripts.command.results import Order
from scripts.command.sample_quote import refine
from scripts.command.sample_tables import beside, sample_summary, sample_table
from scripts.command.sending import Sending, readable
from scripts.command.watch import follow_on_terminal, rests, ways_on
from tidemill.upload import Upload

DEFAULT_JOBS = 20

LONGEST_NAME = 180
"""Of a batch, to which is added what it is."""


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
        if "from_url" in self.defaults:
            raise typer.BadParameter("--sample reads the file itself: name one of this machine")
        quote = self._quoted()
        jobs = self._picked(quote["jobs"])
        batch = self._watched(jobs)
        results = [
            json.loads(line) for line in self.sending.client.results(batch["id"], Order.INPUT)
        ]
        refined = refine(quote, batch, results)
        if self.as_json:
            sample = {"batch": batch, "jobs": beside(jobs, results)}
            print_json({"quote": quote, "sample": sample, "refined": refined})
        else:
            stdout().print(sample_table(jobs, results))
            stdout().print(sample_summary(quote, refined))
        if not batch["counts"]["succeeded"]:
            raise Ended(
                ExitStatus.BATCH_FAILED,
                "sample_failed",
                "no job of the sample succeeded; nothing more was submitted",
            )
        if not (goes_on or self._is_agreed(quote, refined)):
            raise typer.Exit(ExitStatus.OK)

    def _quoted(self) -> JsonObject:
        quote = self.sending.quote(self.upload, self.defaults)
        if not self.as_json or quote["fault_count"]:
            tell_quote(quote, as_json=self.as_json)
        if quote["fault_count"]:
            raise typer.Exit(ExitStatus.REJECTED)
        return quote

    def _picked(self, total: int) -> list[bytes]:
        if total <= self.wanted:
            raise Ended(
                ExitStatus.REJECTED,
                "sample_too_large",
                f"a sample of {self.wanted:,} would be all of the {total:,} jobs that there are; "
                "submit them, or take a smaller one",
            )
        with readable(self.sending.file):
            return spread(job_lines(self.upload, self.defaults), total, self.wanted)

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
