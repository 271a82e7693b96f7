"""A run on paper: one table, and what was wrong."""

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table

from jobs.money import format_usd
from scripts.fault_injection.recovery import Recovery, summed_up
from scripts.fault_injection.run import MEBIBYTE, Run, findings
from scripts.launcher.supervisor import describe_status


def print_run(output: Console, run: Run) -> None:
    """Print the figures as a table, then what is excused, and who ended by itself and said what."""
    options = run.options
    title = (
        f"{options.store}, {options.broker}, {options.workers} workers, "
        f"a fault every {options.every_s:g} s"
    )
    table = Table("what", "figure", title=title)
    for what, figure in _rows(run):
        table.add_row(what, figure)
    output.print(table)
    for line in _lines(run):
        output.print(line, markup=False, soft_wrap=True)


def _rows(run: Run) -> Iterator[tuple[str, str]]:
    verdict = run.verdict
    yield "seed", str(run.options.seed)
    yield "faults that happened", f"{len(run.aftermaths):,} in {run.options.minutes:g} min"
    yield "until the last result", f"{run.took_s:.0f} s"
    yield "jobs accepted", f"{verdict.accepted:,}"
    yield "  in so many requests", str(run.tries)
    yield "finished", f"{verdict.finished:,}"
    yield "  with an error for a result", _times(verdict.errors)
    yield "    excused by faults", f"{len(verdict.excuses):,}"
    yield "lost", f"{verdict.lost:,}"
    yield "doubled results", f"{verdict.doubled:,}"
    yield "drift on answered attempts", f"{verdict.drift_nanos:,} nano-dollars"
    yield "unknown attempts", f"{verdict.unknown:,} of {verdict.may_be_unknown:,} in danger"
    wasted = f"{verdict.wasted:,}, ${format_usd(verdict.wasted_nanos)}"
    yield "answered more than once", wasted
    yield "cost", f"${format_usd(verdict.cost_nanos)}"
    yield "budget overrun", f"${format_usd(verdict.overrun_nanos)}"
    yield "reserved left over", f"${format_usd(verdict.reserved_left_nanos)}"
    yield from _recoveries(run)
    broken = len(findings(run))
    yield "promises", f"{broken:,} broken" if broken else "all kept"
    yield "ended by themselves", _times(Counter(end.name for end in run.ends))
    peaks = (f"{name} {peak // MEBIBYTE}" for name, peak in run.peak_bytes.items())
    yield "most memory, MiB", ", ".join(peaks)


def _recoveries(run: Run) -> Iterator[tuple[str, str]]:
    again = [one.again_s for one in run.aftermaths if one.again_s]
    yield "a lost worker's first call again after", _recovery(summed_up([*map(min, again)]))
    yield "  and all of its calls", _recovery(summed_up([*map(max, again)]))
    for kind in run.options.kinds:
        of_kind = [one for one in run.aftermaths if one.strike.kind == kind]
        back = [one.rate_back_s for one in of_kind if one.rate_back_s is not None]
        yield f"{kind}: {len(of_kind)}, full rate after", _recovery(summed_up(back))
    alone = sum(one.is_alone for one in run.aftermaths)
    yield "faults alone, so that their recovery is judged", f"{alone:,}"


def _lines(run: Run) -> Iterator[str]:
    yield from (f"excused: {excuse}" for excuse in run.verdict.excuses)
    for end in run.ends:
        after_s, lived_s = end.ended_at - run.began_at, end.ended_at - end.started_at
        status = describe_status(end.status)
        yield f"{end.name} ended at {after_s:.1f} s, {lived_s:.1f} s old, with {status}, and said last:"
        yield from (f"    {line}" for line in end.last_lines)


def _times(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ×{count}" for name, count in counts.items()) or "none"


def _recovery(recovery: Recovery | None) -> str:
    if recovery is None:
        return "-"
    return f"p50 {recovery.p50_s:.1f} s, worst {recovery.worst_s:.1f} s"
