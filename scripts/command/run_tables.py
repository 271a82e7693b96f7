"""Runs of pipelines for a person's eyes: a line, a list, everything of one with its receipt."""

from collections.abc import Sequence
from decimal import Decimal

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from scripts.command.render import JsonObject, about, dollars, local_time, printable, state
from scripts.command.tables import figure

WIDE = 110
"""Columns of a terminal that has room for everything."""

LONGEST_NAME = 16
"""Characters of a pipeline's name in a narrow list."""

_SAVED = {
    "lane_usd": "batch lanes",
    "prompt_cache_usd": "prompt caches",
    "same_jobs_usd": "jobs that ask for the same",
}


def came_to_nothing(run: JsonObject) -> Text | None:
    """Return what there is to say of a completed run whose rows have all failed; None of others."""
    if not run["rows"]["none_came_out"]:
        return None
    return Text(f"0 of {run['rows']['taken']:,} rows came out", style="red")


def exit_status(run: JsonObject) -> int:
    """Return 0 for a run that has completed, and not without any output because rows failed."""
    return int(run["state"] != "completed" or run["rows"]["none_came_out"])


def run_line(run: JsonObject) -> str:
    """Return where a run stands, on one line."""
    stages = "  ".join(
        f"{stage['name']} {stage['done']:,}/{_reached(stage):,}"
        + (f" ({stage['failed']:,} failed)" if stage["failed"] else "")
        for stage in run["stages"]
    )
    trouble = f"  {printable(run['trouble'])}" if run["trouble"] else ""
    if (nothing := came_to_nothing(run)) is not None:
        trouble += f"  {nothing.plain}"
    if run["deadline_unreachable"] is not None:
        trouble += "  its deadline can't be met"
    cost = dollars(run["receipt"]["cost_usd"])
    return f"{run['state']}  {run['rows']['taken']:,} rows  {stages}  {cost}{trouble}"


def run_table(runs: Sequence[JsonObject], width: int) -> Table:
    """Return a row for each run; where a terminal is no wider than `WIDE`, without what `show` tells."""
    is_wide = width > WIDE
    more = (figure("saved"), Column("deadline", no_wrap=True)) if is_wide else ()
    table = Table(
        Column("id", no_wrap=True),
        Column("pipeline", no_wrap=True, max_width=None if is_wide else LONGEST_NAME),
        Column("date", no_wrap=True),
        Column("state", no_wrap=True),
        figure("rows"),
        figure("failed"),
        figure("cost"),
        *more,
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for run in runs:
        cells: list[str | Text] = [
            run["id"],
            printable(run["pipeline"]),
            run["date"],
            how(run),
            f"{run['rows']['taken']:,}",
            f"{run['rows']['failed']:,}",
            about(run["receipt"]["cost_usd"]),
        ]
        if is_wide:
            cells += [dollars(_saved(run["receipt"])), kept(run)]
        table.add_row(*cells)
    return table


def how(run: JsonObject) -> Text:
    """Return the state of a run, in the colour of what it has come to."""
    return Text(run["state"], style="red") if came_to_nothing(run) else state(run["state"])


def run_summary(run: JsonObject) -> Group:
    """Return everything of one run that has something to say: its stages, its sinks, its receipt."""
    sinks = [_sinks(run)] if run["sinks"] else []
    return Group(_head(run), _stages(run), *sinks, receipt(run), *_batches(run))


def receipt(run: JsonObject) -> Table:
    """Return what a run has cost and saved, and whether its deadline was kept."""
    paid = run["receipt"]
    rows: list[tuple[str, str | Text]] = [
        ("list price", dollars(paid["list_usd"])),
        *(
            (f"saved by {words}", f"-{dollars(paid['saved'][name])}")
            for name, words in _SAVED.items()
            if Decimal(paid["saved"][name])
        ),
        ("paid", Text(dollars(paid["cost_usd"]), style="bold")),
    ]
    if Decimal(paid["reserved_usd"]):
        rows.append(("reserved", dollars(paid["reserved_usd"])))
    if run["budget_usd"] is not None:
        rows.append(("budget", dollars(run["budget_usd"])))
    if paid["unpriced_jobs"]:
        rows.append(("without price", f"{paid['unpriced_jobs']:,} jobs"))
    if run["deadline"] is not None:
        rows.append(("deadline", kept(run)))
    rows.append(("more", f"tidemill receipt {run['id']}"))
    return _pairs(rows, title="Receipt")


def kept(run: JsonObject) -> Text:
    """Return the deadline of a run, and whether it was kept."""
    if run["deadline"] is None:
        return Text("")
    at = local_time(run["deadline"])
    match run["kept_deadline"]:
        case True:
            return Text(f"{at} kept", style="green")
        case False:
            return Text(f"{at} missed", style="red")
        case _:
            return Text(at)


def _head(run: JsonObject) -> Table:
    rows = run["rows"]
    taken = f"{rows['taken']:,} taken"
    if rows["done_before"]:
        taken += f", {rows['done_before']:,} done before"
    if rows["doubled"]:
        taken += f", {rows['doubled']:,} with a key that was there"
    shown: list[tuple[str, str | Text]] = [
        ("run", run["id"]),
        ("pipeline", f"{printable(run['pipeline'])}, {run['kind']}, of {run['date']}"),
        ("state", how(run)),
        ("", came_to_nothing(run) or ""),
        ("trouble", printable(run["trouble"] or "")),
        ("deadline", Text(printable(run["deadline_unreachable"] or ""), style="red")),
        ("rows", taken),
        ("retries", str(run["retries"] or "")),
        ("due", local_time(run["due_at"])),
        ("began", local_time(run["started_at"])),
        ("ended", local_time(run["finished_at"])),
    ]
    return _pairs([(name, value) for name, value in shown if str(value)])


def _stages(run: JsonObject) -> Table:
    table = Table(
        Column("stage", no_wrap=True), "after", *map(figure, ("done", "running", "failed", "left out")),
        figure("paid"), box=SIMPLE, pad_edge=False,
    )  # fmt: skip
    for stage in run["stages"]:
        table.add_row(
            stage["name"],
            ", ".join(stage["after"]) or "source",
            *(f"{stage[name]:,}" for name in ("done", "running", "failed", "left_out")),
            about(stage["receipt"]["cost_usd"]),
        )
    return table


def _batches(run: JsonObject) -> list[str]:
    return [
        f"batch {batch} is of stage {stage['name']}, by {printable(stage['model'])}"
        for stage in run["stages"]
        for batch in stage["batches"]
    ]


def _sinks(run: JsonObject) -> Table:
    table = Table("sink", "of", "state", figure("rows"), "where", box=SIMPLE, pad_edge=False)
    for sink in run["sinks"]:
        rows = "" if sink["rows"] is None else f"{sink['rows']:,}"
        where = printable(sink["trouble"] or sink["place"] or "")
        table.add_row(sink["kind"], sink["of"], state(sink["state"]), rows, where)
    return table


def _pairs(rows: Sequence[tuple[str, str | Text]], title: str | None = None) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), title=title)
    table.title_justify = "left"
    for name, value in rows:
        table.add_row(name, value)
    return table


def _reached(stage: JsonObject) -> int:
    return int(stage["done"] + stage["running"] + stage["failed"])


def _saved(paid: JsonObject) -> str:
    return str(sum((Decimal(amount) for amount in paid["saved"].values()), Decimal(0)))
