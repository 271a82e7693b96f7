"""What came of a run, all that was wrong with it, and its figures for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scripts.fault_injection.arguments import Options
from scripts.fault_injection.fleet import End
from scripts.fault_injection.kinds import Kind
from scripts.fault_injection.recovery import Aftermath, too_late
from scripts.fault_injection.verdict import Verdict
from scripts.launcher.supervisor import describe_status

MEBIBYTE = 2**20
MOST_MIB = {"api": 160, "beat": 150, "worker": 220}
"""What a part may need, however many jobs there are: not more of them, more faults or more time.

All begin with some 92. A worker needs 0.7 more for each slice of 100 jobs that it has open, and may
have 128 open when the other workers are down; what it once needed it keeps.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run, which began at a Unix time and took until the last result.

    `never` are kinds that were asked for and could not be made to happen. `ends` are of processes that
    nobody has ended. `tries` are the requests that it took to have every batch accepted.
    """

    options: Options
    verdict: Verdict
    never: tuple[Kind, ...]
    aftermaths: Sequence[Aftermath]
    ends: Sequence[End]
    peak_bytes: dict[str, int]
    tries: int
    began_at: float
    took_s: float


def findings(run: Run) -> list[str]:
    """Return all that is not as it was promised, or was not tried, in words."""
    return [
        *run.verdict.findings,
        *(f"{kind} never happened" for kind in run.never),
        *(late for aftermath in run.aftermaths for late in too_late(aftermath)),
        *map(_ended, run.ends),
        *_too_large(run.peak_bytes),
    ]


def figures(run: Run) -> dict[str, Any]:
    """Return a run as JSON would have it."""
    document = asdict(run)
    document["findings"] = findings(run)
    document["options"]["json"] = str(run.options.json)
    for aftermath in document["aftermaths"]:
        aftermath["strike"]["cut_off"] = len(aftermath["strike"]["cut_off"])
    return document


def _ended(end: End) -> str:
    status = describe_status(end.status)
    said = end.last_lines[-1] if end.last_lines else "nothing"
    return f"{end.name} ended by itself with {status}; it said last: {said}"


def _too_large(peak_bytes: Mapping[str, int]) -> Iterator[str]:
    for name, peak in peak_bytes.items():
        most_mib = MOST_MIB.get(name.partition("-")[0])
        if most_mib is not None and peak > most_mib * MEBIBYTE:
            yield f"{name} needed {peak / MEBIBYTE:.0f} MiB of memory, {most_mib} are allowed"
