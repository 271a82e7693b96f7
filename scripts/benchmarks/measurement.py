"""One measurement: a batch from its submission to its last result, between two bare loops."""

import time
from collections.abc import Callable
from typing import Any

from jobs.errors import ServiceUnavailable
from jobs.states import FINAL_BATCH_STATES
from jobs.store.batches import batches
from jobs.store.projects import DEFAULT_PROJECT, ensure_project
from scripts.benchmarks.bare_loop import run_bare_loop
from scripts.benchmarks.cases import SIMULATED, WARM_UP_JOBS, Case
from scripts.benchmarks.configuration import BEYOND_REACH, configuration
from scripts.benchmarks.correctness import Sums, difference, judge, read_results, sums_of_usage
from scripts.benchmarks.figures import BatchRun, Figures, figures
from scripts.benchmarks.meter import SAMPLE_EVERY_S, Meter
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.stores import Servers, own_place
from scripts.benchmarks.submission import Accepted, accepted, submitting
from scripts.benchmarks.system import System, running_system
from scripts.command.client import Client, open_http

STUCK_AFTER_S = 60.0
"""A batch without a new result for so long is not slow but stuck: no simulated call takes 7 s."""

Say = Callable[[str], None]


def measure(case: Case, servers: Servers, say: Say) -> Figures:
    """Measure a case once.

    Raises:
        ServiceUnavailable: something does not start, ends too early or gets stuck.
    """
    with running_provider(SIMULATED[case.latency]) as provider:
        say("a bare loop, before")
        before = run_bare_loop(provider.url, case.jobs, case.in_flight)
        say("starting the system")
        with (
            own_place(case.store, servers) as place,
            running_system(case, place, configuration(provider.url, BEYOND_REACH)) as system,
        ):
            run = _run_batch(case, system, provider, say)
        say("a bare loop, after")
        after = run_bare_loop(provider.url, case.jobs, case.in_flight)
    return figures(case, run, (before, after))


def _run_batch(case: Case, system: System, provider: Provider, say: Say) -> BatchRun:
    key = system.key_file.read_text(encoding="utf-8").strip()
    with Client(open_http(system.url, key)) as client:
        say("warming up")
        meter = _meter(system)
        warm_up = _submit(system, WARM_UP_JOBS, meter)
        _wait_until_final(client, system, warm_up.batch_id, meter, say)
        provider.forget()
        ledger_before = _ledger(client)

        meter = _meter(system)
        say(f"submitting {case.jobs:,} lines")
        sent = _submit(system, case.jobs, meter)
        submission_peak_bytes = meter.peak_bytes()
        batch = _wait_until_final(client, system, sent.batch_id, meter, say)
        cpu_s = meter.cpu_s()

        say("checking the results")
        results = read_results(client.results(sent.batch_id, "finished"), case.jobs)
        accounts = {
            "results": results.sums,
            "batch": sums_of_usage(batch["usage"], results.sums.calls, batch["cost_usd"]),
            "ledger": difference(_ledger(client), ledger_before),
        }
        summary = provider.ledger()
    findings = [*results.findings, *judge(summary, case.jobs, accounts)]
    if batch["state"] != "completed":
        findings.append(f"the batch ended {batch['state']}")
    if summary["max_in_flight"] > case.in_flight:
        findings.append(f"{summary['max_in_flight']:,} calls were in flight")
    started_at, finished_at = _times(system, sent.batch_id)
    return BatchRun(
        accepted=sent,
        run_s=finished_at - started_at,
        wall_s=finished_at - sent.accepted_at,
        cpu_s=cpu_s,
        peak_bytes=meter.peak_bytes(),
        submission_peak_bytes=submission_peak_bytes,
        max_in_flight=summary["max_in_flight"],
        findings=tuple(findings),
    )


def _meter(system: System) -> Meter:
    return Meter({name: process.pid for name, process in system.processes.items()})


def _submit(system: System, jobs: int, meter: Meter) -> Accepted:
    with submitting(system.url, system.key_file, jobs) as process:
        while process.poll() is None:
            system.check_alive()
            meter.sample()
            time.sleep(SAMPLE_EVERY_S)
        return accepted(process)


def _wait_until_final(
    client: Client, system: System, batch_id: str, meter: Meter, say: Say
) -> dict[str, Any]:
    waiting, last_news = -1, time.monotonic()
    while True:
        batch = client.batch(batch_id)
        if batch["state"] in FINAL_BATCH_STATES:
            meter.sample()
            return batch
        counts = batch["counts"]
        if counts["waiting"] + counts["running"] != waiting:
            waiting, last_news = counts["waiting"] + counts["running"], time.monotonic()
            say(f"{counts['total'] - waiting:,} of {counts['total']:,} jobs")
        elif time.monotonic() - last_news > STUCK_AFTER_S:
            raise ServiceUnavailable(f"no result for {STUCK_AFTER_S:g} s: {batch}")
        system.check_alive()
        meter.sample()
        time.sleep(SAMPLE_EVERY_S)


def _ledger(client: Client) -> Sums:
    total = client.usage({"by": "outcome"})["total"]
    return sums_of_usage(total, total["attempts"], total["cost_usd"])


def _times(system: System, batch_id: str) -> tuple[float, float]:
    """Return when the batch's first slice was leased and its last result came, as Unix times."""
    with system.database.read() as session:
        batch = batches.find(session, ensure_project(session, DEFAULT_PROJECT), batch_id)
        assert batch.started_at is not None
        assert batch.finished_at is not None
        return batch.started_at.timestamp(), batch.finished_at.timestamp()
