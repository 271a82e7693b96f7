"""A batch is a trace, by its name; its spans say who was called, for how much, and never what."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobs.exchange import Usage
from jobs.open_telemetry import Spans
from jobs.spans import TracedCall, ids_of, is_chosen
from jobs.tracing import open_tracing
from tests.support.workshop import line, workshop

ROOT = Path(__file__).resolve().parents[2]
REF = "bat_0123456789abcdef0123"


@pytest.fixture
def told() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(told: InMemorySpanExporter) -> Spans:
    return Spans(SimpleSpanProcessor(told), 1.0, "worker")


def call(seq: int = 3, error_code: str | None = None) -> TracedCall:
    usage = Usage(input_tokens=5, cached_input_tokens=2, output_tokens=4)
    return TracedCall(
        seq, 1, "openai", "main", "small", "succeeded", error_code, "complete", usage, 1500
    )


def test_a_batchs_spans_are_one_trace_whoever_tells_them(
    spans: Spans, told: InMemorySpanExporter
) -> None:
    spans.submitted(REF, 1_000)
    spans.settled(REF, call(), 5_000_000_000)
    submission, called, settled = told.get_finished_spans()
    trace_id, root_id = ids_of(REF)
    assert {span.context.trace_id for span in (submission, called, settled)} == {trace_id}
    assert submission.context.span_id == root_id
    assert called.parent is not None
    assert called.parent.span_id == root_id
    assert settled.parent is not None
    assert settled.parent.span_id == called.context.span_id
    assert (called.start_time, called.end_time) == (3_500_000_000, 5_000_000_000)


def test_a_call_is_told_in_the_words_for_generative_ai(
    spans: Spans, told: InMemorySpanExporter
) -> None:
    spans.settled(REF, call(error_code="invalid_json"), 5_000_000_000)
    called, _settled = told.get_finished_spans()
    attributes = dict(called.attributes or {})
    assert called.name == "chat small"
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.provider.name"] == "openai"
    assert attributes["gen_ai.request.model"] == "small"
    assert attributes["gen_ai.usage.input_tokens"] == 7
    assert attributes["gen_ai.usage.output_tokens"] == 4
    assert attributes["gen_ai.response.finish_reasons"] == ["complete"]
    assert attributes["error.type"] == "invalid_json"
    assert not called.status.is_ok


def test_a_share_of_the_jobs_is_chosen_and_always_the_same() -> None:
    chosen = [seq for seq in range(10_000) if is_chosen(REF, seq, 0.1)]
    assert 850 < len(chosen) < 1_150
    assert chosen == [seq for seq in range(10_000) if is_chosen(REF, seq, 0.1)]
    assert all(is_chosen(REF, seq, 1.0) for seq in range(100))


async def test_what_a_worker_settles_is_told(
    tmp_path: Path, spans: Spans, told: InMemorySpanExporter
) -> None:
    async with workshop(tmp_path) as shop:
        shop.parts = replace(shop.parts, tracing=spans)
        ref = shop.submit([{**line("a"), "prompt": "canary-of-a-prompt"}])
        await shop.run(ref)
    called, _settled = told.get_finished_spans()
    assert called.context.trace_id == ids_of(ref)[0]
    assert (called.attributes or {})["tidemill.outcome"] == "succeeded"
    everything = "".join(span.to_json() for span in told.get_finished_spans())
    assert "canary" not in everything
    assert "Hello" not in everything


def test_without_tracing_nothing_of_it_is_imported() -> None:
    assert open_tracing(0.0, "api") is None
    script = (
        "import sys, workers.boot, api.app\n"
        # Redis' client looks for the rest by itself, where it is installed.
        "assert not {'jobs.open_telemetry', 'opentelemetry.exporter'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)  # noqa: S603 - the script above
