"""What a large file takes that goes through OpenAI's surface: upload, validation, run, download.

Who uploads and downloads is a process of its own, over HTTP; memory is watched in every process of the
system in each of the four stages. Whether every line got its own answer is checked after that.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from rich.console import Console
from rich.table import Table

from jobs.errors import ServiceUnavailable
from scripts.benchmarks import child, surface
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.configuration import BEYOND_REACH, configuration
from scripts.benchmarks.correctness import judge, read_results, sums_of_usage
from scripts.benchmarks.meter import SAMPLE_EVERY_S, Meter
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.stores import Servers, own_place
from scripts.benchmarks.surface import ENDPOINT, Downloaded, Uploaded
from scripts.benchmarks.system import System, running_system
from scripts.command.client import open_http

STUCK_AFTER_S = 300.0
"""A batch in which nothing moves for so long is not slow but stuck; while its file is read, nothing does."""

FINAL = frozenset({"completed", "failed", "cancelled", "expired"})

MIB, MB = 1 << 20, 1_000_000

Say = Callable[[str], None]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FilesPlan:
    """How many lines the file has."""

    jobs: int = 1_000_000
    stores: tuple[Store, ...] = (Store.SQLITE,)
    workers: int = 1
    in_flight: int = 1000


SMALL_FILES = FilesPlan(jobs=2_000, in_flight=200)
"""What CI runs: that every line gets its answer, not how fast."""


@dataclass(frozen=True, slots=True)
class FilesRun:
    """A file's way. Seconds; `validation_s` and `first_result_s` are from the create on.

    `peak_bytes` is, by stage and process, the most memory that only the process itself used.
    """

    store: Store
    jobs: int
    upload: Uploaded
    validation_s: float
    first_result_s: float
    run_s: float
    download: Downloaded
    peak_bytes: Mapping[str, Mapping[str, int]]
    findings: tuple[str, ...]


def measure_files(store: Store, plan: FilesPlan, servers: Servers, say: Say) -> FilesRun:
    """Take one file all the way.

    Raises:
        ServiceUnavailable: something does not start, ends too early or gets stuck.
    """
    case = Case(store, Latency.ZERO, plan.workers, plan.jobs, plan.in_flight)
    with (
        running_provider("constant:0") as provider,
        own_place(store, servers) as place,
        running_system(case, place, configuration(provider.url, BEYOND_REACH)) as system,
        open_http(system.url, system.key_file.read_text(encoding="utf-8").strip()) as http,
    ):
        return _Way(system, http, say).run(store, plan.jobs, provider)


class _Way:
    """The way of one file through a running system."""

    def __init__(self, system: System, http: httpx.Client, say: Say) -> None:
        self._system, self._http, self._say = system, http, say
        self._peaks: dict[str, dict[str, int]] = {}

    def run(self, store: Store, jobs: int, provider: Provider) -> FilesRun:
        """Upload, create, watch, download, check."""
        uploaded = Uploaded(**self._through("upload", str(jobs)))
        began = time.monotonic()
        batch = self._create(uploaded.file_id)
        meter = self._meter()
        batch = self._watch(batch, meter, "validation", lambda seen: seen["status"] != "validating")
        validation_s = time.monotonic() - began
        self._peaks["validation"] = meter.peak_bytes()
        meter = self._meter()
        batch = self._watch(batch, meter, "run", lambda seen: _done(seen) > 0)
        first_result_s = time.monotonic() - began
        batch = self._watch(batch, meter, "run", lambda seen: seen["status"] in FINAL)
        run_s = time.monotonic() - began - validation_s
        self._peaks["run"] = meter.peak_bytes()
        if batch["output_file_id"] is None:
            raise ServiceUnavailable(f"the batch has no output: {batch}")
        downloaded = Downloaded(**self._through("download", batch["output_file_id"]))
        self._say("checking the results")
        return FilesRun(
            store=store,
            jobs=jobs,
            upload=uploaded,
            validation_s=validation_s,
            first_result_s=first_result_s,
            run_s=run_s,
            download=downloaded,
            peak_bytes=self._peaks,
            findings=tuple(self._findings(batch, jobs, downloaded, provider.ledger())),
        )

    def _create(self, file_id: str) -> Json:
        wanted = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
        made: Json = self._http.post("/v1/batches", json=wanted).raise_for_status().json()
        return made

    def _through(self, action: str, what: str) -> Any:
        """Return what a client says of an upload or a download, once it is through."""
        self._say(action)
        address, meter = urlsplit(self._system.url), self._meter()
        words = (action, address.hostname, address.port, self._system.key_file, what)
        with child.started(surface.__name__, *words) as process:
            while process.poll() is None:
                self._look(meter)
            self._peaks[action] = meter.peak_bytes()
            return child.answer(process)

    def _watch(self, batch: Json, meter: Meter, stage: str, is_so: Callable[[Json], bool]) -> Json:
        """Return the batch once `is_so`, or once it has ended."""
        moved_at, last = time.monotonic(), batch
        while not (is_so(batch) or batch["status"] in FINAL):
            self._look(meter)
            batch = self._http.get(f"/v1/batches/{batch['id']}").raise_for_status().json()
            counts = batch["request_counts"]
            self._say(f"{stage}: {counts['completed']:,} of {counts['total']:,}")
            if batch != last:
                moved_at, last = time.monotonic(), batch
            elif time.monotonic() - moved_at > STUCK_AFTER_S:
                raise ServiceUnavailable(f"nothing moves for {STUCK_AFTER_S:g} s: {batch}")
        return batch

    def _look(self, meter: Meter) -> None:
        self._system.check_alive()
        meter.sample()
        time.sleep(SAMPLE_EVERY_S)

    def _meter(self) -> Meter:
        return Meter({name: process.pid for name, process in self._system.processes.items()})

    def _findings(
        self, batch: Json, jobs: int, downloaded: Downloaded, summary: Mapping[str, Any]
    ) -> Iterator[str]:
        """Yield what is wrong: with the answers, the counts, or the sums."""
        if batch["status"] != "completed":
            yield f"the batch ended {batch['status']}: {batch['errors']}"
        if downloaded.lines != jobs:
            yield f"the output has {downloaded.lines:,} lines for {jobs:,} jobs"
        path = f"/v1/files/{batch['output_file_id']}/content"
        with self._http.stream("GET", path) as response:
            yield from read_results(map(_as_result, response.iter_lines()), jobs).findings
        (native,) = [
            found
            for found in self._http.get("/api/batches").raise_for_status().json()["data"]
            if found["name"] == batch["id"]
        ]
        calls = batch["request_counts"]["completed"]
        account = sums_of_usage(native["usage"], calls, native["cost_usd"])
        yield from judge(summary, jobs, {"batch": account})


def _done(batch: Json) -> int:
    return int(batch["request_counts"]["completed"] + batch["request_counts"]["failed"])


def _as_result(line: str) -> bytes:
    """Return a line of an output file as a result of the native surface."""
    found = orjson.loads(line)
    body = found["response"]["body"]
    return orjson.dumps(
        {
            "custom_id": found["custom_id"],
            "status": "succeeded" if found["response"]["status_code"] == 200 else "failed",
            "output": body["choices"][0]["message"]["content"],
            "attempts": 1,
            "usage": None,
            "cost_usd": None,
        }
    )


def print_files(output: Console, runs: Sequence[FilesRun]) -> None:
    """Print the speed of each stage, and each process's memory in it."""
    table = Table(
        *("store", "lines", "MB", "upload MB/s", "validated lines/s", "first result s", "jobs/s"),
        *("output MB", "download MB/s", "first byte s"),
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for run in runs:
        table.add_row(
            *(run.store, f"{run.jobs:,}", f"{run.upload.size_bytes / MB:.0f}"),
            f"{run.upload.size_bytes / MB / run.upload.took_s:.1f}",
            f"{run.jobs / run.validation_s:,.0f}",
            f"{run.first_result_s:.2f}",
            f"{run.jobs / run.run_s:,.0f}",
            f"{run.download.size_bytes / MB:.0f}",
            f"{run.download.size_bytes / MB / run.download.took_s:.1f}",
            f"{run.download.first_byte_s:.2f}",
        )
    output.print(table)
    for run in runs:
        memory = Table("MiB at most", *run.peak_bytes, title=run.store)
        for process in next(iter(run.peak_bytes.values())):
            peaks = (f"{stage[process] / MIB:.0f}" for stage in run.peak_bytes.values())
            memory.add_row(process, *peaks)
        output.print(memory)
