"""What a quote says, for a person: of the whole, of each target, and how much of it is sure."""

from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text

from jobs.errors import LineFault
from scripts.command.ending import say
from scripts.command.progress import duration
from scripts.command.render import JsonObject, about, dollars, print_json, printable, stderr, stdout
from scripts.command.tables import fault_table, figure

_SUFFICES = {
    "surely": "suffices, whatever the answers are",
    "probably": "suffices, unless very many answers have to be asked for again",
    "perhaps": "may run out: that depends on how long the answers are",
    "no": "does not suffice",
    None: "may run out: not every price is known",
}


def tell_quote(quote: JsonObject, *, as_json: bool) -> None:
    """Print a quote on stdout, and its bad lines on stderr unless they are in the JSON."""
    if as_json:
        print_json(quote)
        return
    console = stdout()
    console.print(_summary(quote))
    if len(quote["targets"]) > 1:
        console.print(_target_table(quote["targets"]))
    tell_faults(quote)


def tell_faults(quote: JsonObject) -> None:
    """Print the bad lines of a quote on stderr."""
    count = quote["fault_count"]
    if not count:
        return
    said = "1 line is not a valid job" if count == 1 else f"{count:,} lines are not valid jobs"
    say(f"{said}; a submission would be refused")
    faults = [LineFault(f["line"], f["code"], f["field"], f["message"]) for f in quote["faults"]]
    stderr().print(fault_table(faults))
    if (more := count - len(faults)) > 0:
        say(f"{more:,} more faults are not listed")


def between(span: JsonObject) -> str:
    """Return a range of dollars."""
    low, high = about(span["low"]), about(span["high"])
    return low if low == high else f"{low} – {high}"


def _summary(quote: JsonObject) -> Table:
    spared = [
        f"{quote[name]:,} {what}"
        for name, what in (
            ("collapsed_jobs", "the same as an earlier one"),
            ("reused_jobs", "answered before"),
        )
        if quote[name]
    ]
    into, out = quote["input_tokens"], quote["output_tokens"]
    rows = [
        (
            "jobs",
            ", of these ".join([f"{quote['jobs']:,}", *spared[:1]])
            + "".join(f", {more}" for more in spared[1:]),
        ),
        ("calls", f"{quote['calls']:,}, if no answer is bad"),
        (
            "tokens in",
            f"about {quote['estimated_input_tokens']:,} ({into['low']:,} – {into['high']:,})",
        ),
        ("tokens out", f"{out['low']:,} – {out['high']:,}"),
        ("cost", _cost(quote)),
        ("at worst", _worst(quote)),
        ("without price", _unpriced(quote)),
        ("budget", _budget(quote)),
        ("time", _time(quote)),
    ]
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        if value:
            table.add_row(Text(name, style="bold"), value)
    return table


def _cost(takings: JsonObject) -> str:
    return "unknown" if takings["cost_usd"] is None else between(takings["cost_usd"])


def _worst(quote: JsonObject) -> str:
    if quote["worst_cost_usd"] is None:
        return "unknown: a target that may be asked has no price"
    return f"{about(quote['worst_cost_usd'])}, if every answer is bad and asked for again"


def _unpriced(quote: JsonObject) -> str:
    names = ", ".join(printable(name) for name in quote["unpriced_models"])
    jobs = quote["unpriced_jobs"]
    return f"{names}: {jobs:,} jobs, which the cost leaves out" if names else ""


def _budget(quote: JsonObject) -> str:
    if quote["max_cost_usd"] is None:
        return ""
    return f"{dollars(quote['max_cost_usd'])} {_SUFFICES[quote['max_cost_suffices']]}"


def _time(quote: JsonObject) -> str:
    if quote["eta"] is None:
        return f"unknown: {printable(str(quote['eta_unknown_because']))}"
    low, high = duration(quote["eta"]["low"]), duration(quote["eta"]["high"])
    span = low if low == high else f"{low} – {high}"
    by = quote["limited_by"]
    return f"{span}, if nothing else runs; limited by {printable(by)}" if by else span


def _target_table(targets: list[JsonObject]) -> Table:
    table = Table(
        Column("model", overflow="fold"),
        Column("target", overflow="fold"),
        *(figure(name) for name in ("jobs", "tokens in", "tokens out", "cost")),
        box=SIMPLE,
        pad_edge=False,
    )
    for target in targets:
        out = target["output_tokens"]
        table.add_row(
            printable(target["model"]),
            printable(target["target"]),
            f"{target['jobs']:,}",
            f"{target['estimated_input_tokens']:,}",
            f"{out['low']:,} – {out['high']:,}",
            _cost(target),
        )
    return table
