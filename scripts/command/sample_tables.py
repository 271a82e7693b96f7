"""What a sample shows a person: its jobs beside their results, and what they tell of all jobs."""

import json
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text

from scripts.command.quote import between
from scripts.command.render import JsonObject, dollars, printable
from scripts.command.tables import figure, outcome

LONGEST_INPUT = 160
"""Characters of a job's own words in a table."""

_WORDS = ("prompt", "text", "messages", "variables")
"""Where a line's own words are, whatever its kind; of another package's kind the line is shown."""


def words_of(job: bytes) -> str:
    """Return a job's own words, shortened, on one line."""
    line = json.loads(job)
    words = next((line[name] for name in _WORDS if line.get(name)), line)
    if isinstance(words, list):
        words = words[-1].get("content", words)
    text = words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    text = printable(text.strip())
    return text if len(text) <= LONGEST_INPUT else f"{text[: LONGEST_INPUT - 1]}…"


def beside(jobs: Sequence[bytes], results: Sequence[JsonObject]) -> list[JsonObject]:
    """Return each job as it was sent, with its result."""
    found = {result["custom_id"]: result for result in results}
    lines = [json.loads(job) for job in jobs]
    return [{"job": line, "result": found.get(line["custom_id"])} for line in lines]


def sample_table(jobs: Sequence[bytes], results: Sequence[JsonObject]) -> Table:
    """Return a row for each job: its own words beside its output or failure."""
    table = Table(
        Column("custom_id", overflow="fold", max_width=24),
        Column("input", ratio=1, overflow="fold"),
        Column("output", ratio=1, overflow="fold"),
        figure("cost"),
        box=SIMPLE,
        pad_edge=False,
        expand=True,
    )
    for job, pair in zip(jobs, beside(jobs, results), strict=True):
        result = pair["result"]
        table.add_row(
            printable(pair["job"]["custom_id"]),
            words_of(job),
            "" if result is None else outcome(result),
            "" if result is None else dollars(result["cost_usd"]),
        )
    return table


def sample_summary(quote: JsonObject, refined: JsonObject) -> Table:
    """Return what the sample tells of all jobs; see `refine`."""
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
