"""From what was observed to the figures that are compared: pure arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from scripts.benchmarks.bare_loop import BareRun
from scripts.benchmarks.cases import Case
from scripts.benchmarks.submission import Accepted

MICROS_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A batch that ended: when, what the system's processes used for it, and what is wrong with it.

    `run_s` is from its first lease to its last result, `wall_s` from the 202 to that result. CPU is
    counted from the first byte of the submission on. `max_in_flight` is the provider's count.
    """

    accepted: Accepted
    run_s: float
    wall_s: float
    cpu_s: Mapping[str, float]
    peak_bytes: Mapping[str, int]
    submission_peak_bytes: Mapping[str, int]
    max_in_flight: int
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one measurement says.

    `bare_jobs_s` is the median of the loops right before and after, `ratio` is `jobs_s` over it.
    CPU is per job, `worker_cpu_us` of all workers together; memory is the peak of one process (of the
    largest worker), `api_submission_bytes` that of the API while it received.
    """

    case: Case
    submission_lines_s: float
    jobs_s: float
    wall_jobs_s: float
    bare_jobs_s: float
    ratio: float
    cpu_us: float
    worker_cpu_us: float
    bare_cpu_us: float
    api_submission_bytes: int
    api_bytes: int
    worker_bytes: int
    beat_bytes: int
    max_in_flight: int
    findings: tuple[str, ...]


def figures(case: Case, run: BatchRun, bare: tuple[BareRun, BareRun]) -> Figures:
    """Return the figures of one measurement."""
    jobs = case.jobs
    bare_jobs_s = jobs / median(loop.took_s for loop in bare)
    workers = [name for name in run.cpu_s if name.startswith("worker")]
    worker_cpu_s = sum(run.cpu_s[name] for name in workers)
    return Figures(
        case=case,
        submission_lines_s=jobs / run.accepted.took_s,
        jobs_s=jobs / run.run_s,
        wall_jobs_s=jobs / run.wall_s,
        bare_jobs_s=bare_jobs_s,
        ratio=jobs / run.run_s / bare_jobs_s,
        cpu_us=sum(run.cpu_s.values()) / jobs * MICROS_PER_S,
        worker_cpu_us=worker_cpu_s / jobs * MICROS_PER_S,
        bare_cpu_us=median(loop.cpu_s for loop in bare) / jobs * MICROS_PER_S,
        api_submission_bytes=run.submission_peak_bytes["api"],
        api_bytes=run.peak_bytes["api"],
        worker_bytes=max(run.peak_bytes[name] for name in workers),
        beat_bytes=run.peak_bytes["beat"],
        max_in_flight=run.max_in_flight,
        findings=run.findings,
    )


def typical(runs: list[Figures]) -> Figures:
    """Return the run with the median ratio of several runs of one case (the lower of two)."""
    return sorted(runs, key=lambda run: run.ratio)[(len(runs) - 1) // 2]


def by_case(runs: list[Figures]) -> dict[Case, list[Figures]]:
    """Return the runs of each case, in the order of the first."""
    grouped: dict[Case, list[Figures]] = {}
    for run in runs:
        grouped.setdefault(run.case, []).append(run)
    return grouped
