"""The night: providers that behave and misbehave, and the batches that they get.

Whoever has a running Tidemill with this configuration, and the simulator with these options, sends the
batches and waits until they stand as they should.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson

from jobs.errors import ServiceUnavailable

Json = dict[str, Any]

SETTLES_WITHIN_S = 120.0

LATENCY = "lognormal:350,0.6,4000"

TROUBLES = (
    *("--output-tokens", "20-400"),
    *("--limit", "anthropic:rpm=240"),
    *("--fault", "missing_field:probability=0.35,protocol=mistral"),
    *("--fault", "wrong_type:probability=0.1,protocol=mistral"),
    *("--fault", "quota:protocol=gemini,wait_s=3600"),
)
"""One provider is slow, one answers badly, one has no quota left."""

SIMULATOR = ("--latency", LATENCY, *TROUBLES)

_PROVIDER = """\
[providers.{name}]
protocol = "{name}"
base_url = "{url}{path}"
models = ["{models}"]
[[providers.{name}.pools]]
name = "main"
{limits}
"""

_PRICES = """\
[prices."{name}/sim-small"]
input = "0.10"
output = "0.40"
[prices."{name}/sim-large"]
input = "1.00"
output = "4.00"
"""

_PROVIDERS = (
    ("openai", "/v1", "limits = { rpm = 30000, tpm = 20000000, concurrency = 400 }"),
    ("anthropic", "/anthropic/v1", "limits = { rpm = 240, concurrency = 20 }"),
    ("mistral", "/mistral/v1", ""),
    ("gemini", "/gemini/v1beta", "limits = { rpm = 600 }"),
)

_ROUTES = """\
[routes.cheap]
targets = ["openai/sim-small", "mistral/sim-small"]
"""

INVOICE = {
    "type": "object",
    "properties": {
        "number": {"type": "string"},
        "supplier": {"type": "string"},
        "total": {"type": "number"},
    },
    "required": ["number", "supplier", "total"],
    "additionalProperties": False,
}


PIPELINE = """\
name = "reviews-digest"
description = "The day's reviews: a summary, the summary in French, and what they tell of the lamp"
model = "openai/sim-small"
schedule = { cron = "0 22 * * *", zone = "Europe/Paris" }
deadline = "06:00"
budget_usd = "2.00"
source = { files = "reviews/{date}.jsonl", key = "id" }
[[stages]]
name = "summary"
kind = "generation"
template = "Sum up in one sentence: {{ row.text }}"
[[stages]]
name = "french"
kind = "translation"
text = "{{ summary }}"
source = "en"
target = "fr"
[[stages]]
name = "facts"
kind = "extraction"
model = "mistral/sim-small"
text = "{{ row.text }}"
[stages.schema]
type = "object"
required = ["lamp", "mood"]
properties = { lamp = { type = "integer" }, mood = { type = "string" } }
[[sinks]]
ndjson = "out/reviews-{date}.jsonl"
"""

REVIEWS = 240


def configuration(simulator_url: str) -> str:
    """Return the `tidemill.toml`."""
    sections = [
        _PROVIDER.format(
            name=name,
            url=simulator_url,
            path=path,
            models="sim-*" if name == "openai" else "none",
            limits=limits,
        )
        + _PRICES.format(name=name)
        for name, path, limits in _PROVIDERS
    ]
    return "\n".join([*sections, _ROUTES])


def run_pipeline(http: httpx.Client, folder: Path) -> str:
    """Write a pipeline's file and a day of its source into the configuration's folder; run it, return its id.

    Some of its rows fail: what extracts from them answers badly.
    """
    day = "2026-11-27"
    (folder / "pipelines").mkdir(exist_ok=True)
    (folder / "reviews").mkdir(exist_ok=True)
    rows = (
        {"id": f"review-{n:04d}", "text": f"The lamp {n} came on time."} for n in range(REVIEWS)
    )
    source = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    (folder / "reviews" / f"{day}.jsonl").write_bytes(source)
    (folder / "pipelines" / "reviews-digest.toml").write_text(PIPELINE, encoding="utf-8")
    reply = http.post("/api/pipelines/reviews-digest/runs", params={"date": day})
    if reply.status_code != httpx.codes.ACCEPTED:
        raise ServiceUnavailable(f"the pipeline was not run: {reply.text[:500]}")
    ref: str = reply.json()["id"]
    _wait(http, f"/api/runs/{ref}", lambda run: run["finished_at"] is not None)
    return ref


def send(http: httpx.Client) -> Mapping[str, str]:
    """Send the batches, wait until each stands as it should, and return their ids by their names."""
    done = {
        "product-blurbs": _submit(http, "product-blurbs", _blurbs(2000), priority="high"),
        "reviews-fr": _submit(http, "reviews-fr", _reviews(400)),
    }
    schema = orjson.dumps(INVOICE).decode()
    troubled = {
        "invoices-november": _submit(
            http, "invoices-november", _invoices(400), schema=schema, repair="false", ask_again="0"
        ),
    }
    for ref in (*done.values(), *troubled.values()):
        _wait(http, f"/api/batches/{ref}", lambda batch: batch["finished_at"] is not None)
    held = {
        "support-tickets": _submit(http, "support-tickets", _tickets(3000)),
        "catalogue-2027": _submit(http, "catalogue-2027", _catalogue(500), priority="bulk"),
        "summaries-q3": _submit(http, "summaries-q3", _summaries(1500), max_cost_usd="0.60"),
    }
    _wait(
        http,
        f"/api/batches/{held['catalogue-2027']}",
        lambda batch: batch["waiting_for"] is not None,
    )
    _wait(http, f"/api/batches/{held['summaries-q3']}", lambda batch: batch["state"] == "paused")
    _wait(
        http,
        f"/api/batches/{held['support-tickets']}",
        lambda batch: batch["counts"]["succeeded"] > 40,
    )
    return {**done, **troubled, **held}


def _submit(http: httpx.Client, name: str, lines: Iterator[Json], **query: str) -> str:
    body = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    reply = http.post("/api/batches", params={"name": name, **query}, content=body)
    if reply.status_code != httpx.codes.ACCEPTED:
        raise ServiceUnavailable(f"{name} was not accepted: {reply.text[:500]}")
    ref: str = reply.json()["id"]
    return ref


def _wait(http: httpx.Client, path: str, stands: Any) -> None:
    deadline = time.monotonic() + SETTLES_WITHIN_S
    found: Json = {}
    while time.monotonic() < deadline:
        found = http.get(path).raise_for_status().json()
        if stands(found):
            return
        time.sleep(0.1)
    raise ServiceUnavailable(f"{path} does not stand as it should: {found}")


def _blurbs(count: int) -> Iterator[Json]:
    for number in range(count):
        model = "openai/sim-large" if number % 5 == 0 else "cheap"
        prompt = f"[job:lamp-{number:05d}] Two sentences about lamp {number}, for a shop."
        yield {"custom_id": f"lamp-{number:05d}", "model": model, "prompt": prompt}


def _reviews(count: int) -> Iterator[Json]:
    for number in range(count):
        text = f"The lamp number {number} came on time, and the light is warm."
        yield {
            "custom_id": f"review-{number:04d}",
            "kind": "translation",
            "model": "openai/sim-small",
            "text": text,
            "source": "en",
            "target": "fr",
        }


def _invoices(count: int) -> Iterator[Json]:
    for number in range(count):
        text = (
            f"Invoice 2026-{number:04d} of Brandt & Sons, lamps and shades, total 1,{number:03d}.50"
        )
        yield {
            "custom_id": f"invoice-{number:04d}",
            "kind": "extraction",
            "model": "mistral/sim-small",
            "text": text,
        }


def _tickets(count: int) -> Iterator[Json]:
    for number in range(count):
        prompt = f"[job:ticket-{number:05d}] Sum up ticket {number}: the lamp flickers."
        yield {
            "custom_id": f"ticket-{number:05d}",
            "model": "anthropic/sim-small",
            "prompt": prompt,
        }


def _catalogue(count: int) -> Iterator[Json]:
    for number in range(count):
        prompt = f"[job:item-{number:04d}] Describe item {number} of the catalogue."
        yield {"custom_id": f"item-{number:04d}", "model": "gemini/sim-small", "prompt": prompt}


def _summaries(count: int) -> Iterator[Json]:
    for number in range(count):
        prompt = f"[job:chapter-{number:04d}] Sum up chapter {number} of the annual report."
        yield {"custom_id": f"chapter-{number:04d}", "model": "openai/sim-large", "prompt": prompt}
