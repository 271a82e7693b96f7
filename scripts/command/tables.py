"""The tables that commands print: a batch, results, usage, a submission's faults."""

import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text

from jobs.errors import LineFault
from scripts.command.forecast import ahead, by_deadline, how_good
from scripts.command.render import (
    JsonObject,
    dollars,
    known_dollars,
    local_time,
    printable,
    state,
    tokens,
)

LONGEST_OUTPUT = 160
"""Characters of an answer in a table; the file has it whole."""

_ENDINGS = ("succeeded", "failed", "cancelled", "expired")

_USAGE_FIGURES = (
    ("attempts", "attempts"),
    ("input_tokens", "input"),
    ("cached_input_tokens", "cached"),
    ("cache_write_tokens", "cache write"),
    ("output_tokens", "output"),
    ("reasoning_tokens", "reasoning"),
    ("unpriced_attempts", "without price"),
)
_BUDGET_WORDS = ("project", "per")
_ALWAYS = frozenset({"attempts", "input_tokens", "output_tokens"})


def done_jobs(counts: JsonObject) -> int:
    """Return how many jobs have their result, of whatever kind."""
    return sum(counts[word] for word in _ENDINGS)


def batch_summary(batch: JsonObject) -> Table:
    """Return everything about one batch that has something to say."""
    counts, (into, out) = batch["counts"], tokens(batch["usage"])
    parts = [f"{counts[word]:,} {word}" for word in (*_ENDINGS, "running", "waiting")]
    shown = [part for part in parts if not part.startswith("0 ")]
    unpriced, unknown = batch["unpriced_jobs"], batch["unknown_attempts"]
    rows: list[tuple[str, str | Text]] = [
        ("batch", batch["id"]),
        ("name", printable(batch["name"] or "")),
        ("retry of", batch.get("retry_of") or ""),
        ("state", state(batch["state"])),
        ("waiting for", printable(str(batch["waiting_for"] or ""))),
        ("jobs", f"{counts['total']:,}: {', '.join(shown)}"),
        ("tokens", f"{into:,} in, {out:,} out"),
        ("cost", _cost(batch)),
        ("forecast", ahead(batch)),
        ("forecasts", how_good(batch)),
        ("bad answers", _bad_answers(batch)),
        ("batch lane", _saved_by_lane(batch)),
        *((place, text) for place, text in _natives(batch.get("native_batches") or ())),
        ("prompt caches", saved_by_caches(batch.get("cache_saved_usd"))),
        ("without price", f"{_jobs(unpriced)}, which the cost leaves out" if unpriced else ""),
        ("unknown", f"{_calls(unknown)}, charged at the worst case" if unknown else ""),
        ("not called for", _saved(batch)),
        ("created", local_time(batch["created_at"])),
        ("deadline", by_deadline(batch)),
        ("urgency", _urgency(batch)),
        ("runs", batch.get("run_window") or ""),
        ("finished", local_time(batch["finished_at"])),
    ]
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        if value:
            table.add_row(Text(name, style="bold"), value)
    return table


def _urgency(batch: JsonObject) -> str:
    """Return the priority that a deadline has raised a batch to; nothing where it is its own."""
    own = batch.get("priority")
    urgency = batch.get("urgency") or own
    return f"{urgency}, as its time runs out" if urgency != own else ""


def _bad_answers(batch: JsonObject) -> str:
    """Return how many answers were not usable, and which part of the cost is theirs."""
    count = batch.get("bad_answers")
    return f"{count:,}, {dollars(batch['bad_answers_cost_usd'])} of the cost" if count else ""


def _saved_by_lane(batch: JsonObject) -> str:
    """Say what native batches saved; nothing of a batch that takes live calls only."""
    if batch.get("lane", "live") == "live":
        return ""
    return f"{batch['lane']}, which saved {dollars(batch['lane_saved_usd'])}"


def _natives(natives: Sequence[JsonObject]) -> Iterator[tuple[str, str]]:
    """Yield a row for each native batch that is open: where, how far, since when, and its trouble."""
    for of in natives:
        done = "" if of["done"] is None else f", {of['done'] / max(of['lines'], 1):.0%} done"
        since = f", since {local_time(of['submitted_at'])}" if of["submitted_at"] else ""
        trouble = f": {of['trouble']}" if of["trouble"] else ""
        where = f"{of['provider']}/{of['pool']}, {of['model']}"
        told = f"{of['state']} at {where}, {of['lines']:,} lines{done}{since}{trouble}"
        yield of["id"], printable(told)


def _saved(batch: JsonObject) -> str:
    """Return which jobs needed no call, and what that saved."""
    reasons = (("collapsed_jobs", "same as another job"), ("reused_jobs", "answered before"))
    parts = [f"{batch[name]:,} {reason}" for name, reason in reasons if batch.get(name)]
    return f"{', '.join(parts)}; saved {dollars(batch['saved_usd'])}" if parts else ""


def result_table(results: Iterable[JsonObject]) -> Table:
    """Return one row per result: the answer, or in red why there is none; tokens are in + out."""
    table = _table(
        Column("custom_id", overflow="fold", max_width=24),
        Column("output", ratio=1, overflow="fold"),
        *(figure(name) for name in ("tokens", "cost", "latency")),
        expand=True,
    )
    for result in results:
        into, out = tokens(result["usage"]) if result.get("usage") else (0, 0)
        latency_ms = result.get("latency_ms")
        table.add_row(
            printable(result["custom_id"]),
            outcome(result),
            f"{into:,} + {out:,}",
            dollars(result["cost_usd"]) if result.get("attempts") else "",
            "" if latency_ms is None else f"{latency_ms / 1000:.1f} s",
        )
    return table


def usage_table(rows: Sequence[JsonObject], total: JsonObject, by: Sequence[str]) -> Table:
    """Return the sums, one row per combination of the words in `by`, and their total.

    Kinds of tokens that nobody used have no column, nor has what prompt caches saved where that is
    nothing.
    """
    table = _table(*by, show_footer=True)
    if table.columns:
        table.columns[0].footer = "total"
    figures = [(name, title) for name, title in _USAGE_FIGURES if total[name] or name in _ALWAYS]
    for name, title in figures:
        table.add_column(title, f"{total[name]:,}", justify="right", no_wrap=True)
    table.add_column("cost", _known(total), justify="right", no_wrap=True)
    has_saved = bool(Decimal(total.get("cache_saved_usd") or 0))
    if has_saved:
        saved_in_all = dollars(total["cache_saved_usd"])
        table.add_column("saved by caches", saved_in_all, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            *(printable(str(row[word])) for word in by),
            *(f"{row[name]:,}" for name, _ in figures),
            _known(row),
            *((dollars(row["cache_saved_usd"]),) if has_saved else ()),
        )
    return table


def _known(sums: JsonObject) -> str:
    """Return what is known of a cost; how much is not is a column of its own."""
    mark = "≥ " if sums["unpriced_attempts"] and sums["cost_usd"] is not None else ""
    return f"{mark}{dollars(sums['cost_usd'])}"


def _table(*columns: Column | str, expand: bool = False, show_footer: bool = False) -> Table:
    """Return a table with rules instead of boxes: in eighty columns every character counts."""
    return Table(*columns, box=SIMPLE, pad_edge=False, expand=expand, show_footer=show_footer)


def figure(name: str) -> Column:
    """Return a column of numbers."""
    return Column(name, justify="right", no_wrap=True)


def budget_table(budget: JsonObject) -> Table:
    """Return a project's caps and what is used of them: one row for the day, one for the month."""
    table = _table(
        *_BUDGET_WORDS, *(figure(name) for name in ("cap", "spent", "reserved")), "until"
    )
    for period, cap_usd in (("day", budget["daily_usd"]), ("month", budget["monthly_usd"])):
        used = budget[period]
        table.add_row(
            printable(budget["project"]),
            period,
            "none" if cap_usd is None else dollars(cap_usd),
            dollars(used["spent_usd"]),
            dollars(used["reserved_usd"]),
            local_time(used["resets_at"]),
        )
    return table


def fault_table(faults: Iterable[LineFault]) -> Table:
    """Return one row per bad line of a submission."""
    table = Table(Column("line", justify="right"), "field", Column("what is wrong", ratio=1))
    for fault in faults:
        table.add_row(
            f"{fault.line:,}", printable(fault.field), printable(fault.message or fault.code)
        )
    return table


def _jobs(count: int) -> str:
    return f"{count:,} job{'' if count == 1 else 's'}"


def _calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'} whose use is not known"


def _cost(batch: JsonObject) -> str:
    cost = known_dollars(batch["cost_usd"], batch["unpriced_jobs"])
    if batch["max_cost_usd"] is not None:
        cost += f" of at most {dollars(batch['max_cost_usd'])}"
    if Decimal(batch["reserved_usd"]):
        cost += f", {dollars(batch['reserved_usd'])} reserved for calls in flight"
    return cost


def saved_by_caches(amount: str | None) -> str:
    """Say what the providers' prompt caches saved; nothing where it is nothing, or not known."""
    saved = Decimal(amount or 0)
    if saved < 0:
        return f"cost {dollars(str(-saved))} more than they saved"
    return f"saved {dollars(amount)}" if saved else ""


def outcome(result: JsonObject) -> Text:
    """Return what became of a job, shortened: its output, or in red why there is none."""
    if (error := result.get("error")) is not None:
        return Text(printable(f"{error['code']}: {error['message']}"), style="red")
    output = result.get("output")
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    text = printable(text.strip())
    return Text(text if len(text) <= LONGEST_OUTPUT else f"{text[: LONGEST_OUTPUT - 1]}…")
