"""A run on paper: one table, and what was wrong."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from jobs.money import format_usd
from scripts.fault_injection.recovery import Recovery
from scripts.fault_injection.trial import Run

MEBIBYTE = 2**20


def print_run(output: Console, run: Run) -> None:
    """Print the figures as a table."""
    options = run.options
    title = (
        f"{options.store}, {options.broker}, {options.workers} workers, "
        f"a fault every {options.every_s:g} s"
    )
    table = Table("what", "figure", title=title)
    for what, figure in _rows(run):
        table.add_row(what, figure)
    output.print(table)


def _rows(run: Run) -> Iterator[tuple[str, str]]:
    verdict = run.verdict
    yield "seed", str(run.options.seed)
    yield "faults that happened", f"{sum(run.strikes.values()):,} in {run.options.minutes:g} min"
    yield "until the last result", f"{run.took_s:.0f} s"
    yield "jobs accepted", f"{verdict.accepted:,}"
    yield "  in so many requests", str(run.tries)
    yield "finished", f"{verdict.finished:,}"
    yield "  with an error for a result", f"{verdict.failed:,}"
    yield "lost", f"{verdict.lost:,}"
    yield "doubled results", f"{verdict.doubled:,}"
    yield "drift on answered attempts", f"{verdict.drift_nanos:,} nano-dollars"
    yield "unknown attempts", f"{verdict.unknown:,} of {verdict.may_be_unknown:,} in danger"
    wasted = f"{verdict.wasted:,}, ${format_usd(verdict.wasted_nanos)}"
    yield "answered more than once", wasted
    yield "cost", f"${format_usd(verdict.cost_nanos)}"
    yield "budget overrun", f"${format_usd(verdict.overrun_nanos)}"
    yield "reserved left over", f"${format_usd(verdict.reserved_left_nanos)}"
    yield "a lost worker's first call again after", _recovery(run.first_again)
    yield "  and all of its calls", _recovery(run.all_again)
    for kind in run.options.kinds:
        back = _recovery(run.rate_back.get(kind))
        yield f"{kind}: {run.strikes.get(kind, 0)}, full rate after", back
    broken = len(verdict.findings) + len(run.never)
    yield "promises", f"{broken:,} broken" if broken else "all kept"
    yield "ended by themselves", ", ".join(f"{n} ×{k}" for n, k in run.crashes.items()) or "none"
    peaks = (f"{name} {peak // MEBIBYTE}" for name, peak in run.peak_bytes.items())
    yield "most memory, MiB", ", ".join(peaks)


def _recovery(recovery: Recovery | None) -> str:
    if recovery is None:
        return "-"
    return f"p50 {recovery.p50_s:.1f} s, worst {recovery.worst_s:.1f} s"
