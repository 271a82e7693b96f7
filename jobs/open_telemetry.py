"""Spans for OpenTelemetry, in its words for generative AI; imported only where there is tracing.

A span is made when it has ended, from the times that are known then: nothing is held open meanwhile,
and the ids of a batch's trace can be those of its name.
"""

import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from jobs.spans import TracedCall, ids_of, is_chosen

NANOS_PER_MS = 1_000_000

SCOPE = InstrumentationScope("tidemill")


class Spans:
    """A process's spans; a `Tracing`."""

    def __init__(self, processor: SpanProcessor, share: float, part: str) -> None:
        """Hand spans to `processor`: of submissions all, of that share of the jobs."""
        self._processor = processor
        self._share = share
        self._ids = RandomIdGenerator()
        self._resource = Resource.create(
            {"service.namespace": "tidemill", "service.name": f"tidemill-{part}"}
        )

    def submitted(self, batch_ref: str, began_ns: int) -> None:
        """Tell of a submission, as the root of its batch's trace."""
        span = ReadableSpan(
            name="submit batch",
            context=_root_of(batch_ref),
            resource=self._resource,
            attributes={"tidemill.batch.id": batch_ref},
            kind=SpanKind.SERVER,
            instrumentation_scope=SCOPE,
            start_time=began_ns,
            end_time=time.time_ns(),
        )
        self._processor.on_end(span)

    def settled(self, batch_ref: str, call: TracedCall, answered_ns: int) -> None:
        """Tell of a call and of its settlement, if its job is one of the share."""
        if not is_chosen(batch_ref, call.seq, self._share):
            return
        root = _root_of(batch_ref)
        own, settlement = self._within(root), self._within(root)
        failed = Status(StatusCode.ERROR if call.error_code is not None else StatusCode.UNSET)
        called = ReadableSpan(
            name=f"chat {call.model}",
            context=own,
            parent=root,
            resource=self._resource,
            attributes=_attributes(batch_ref, call),
            kind=SpanKind.CLIENT,
            status=failed,
            instrumentation_scope=SCOPE,
            start_time=answered_ns - (call.latency_ms or 0) * NANOS_PER_MS,
            end_time=answered_ns,
        )
        settled = ReadableSpan(
            name="settle",
            context=settlement,
            parent=own,
            resource=self._resource,
            attributes={"tidemill.batch.id": batch_ref, "tidemill.job.seq": call.seq},
            instrumentation_scope=SCOPE,
            start_time=answered_ns,
            end_time=time.time_ns(),
        )
        for span in (called, settled):
            self._processor.on_end(span)

    def close(self) -> None:
        """Send what is left."""
        self._processor.shutdown()

    def _within(self, root: SpanContext) -> SpanContext:
        return SpanContext(
            root.trace_id, self._ids.generate_span_id(), is_remote=False, trace_flags=_SAMPLED
        )


_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def exported(share: float, part: str) -> Spans:
    """Return spans that are sent to where OpenTelemetry's own variables say."""
    return Spans(BatchSpanProcessor(OTLPSpanExporter()), share, part)


def _root_of(batch_ref: str) -> SpanContext:
    trace_id, span_id = ids_of(batch_ref)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=_SAMPLED)


def _attributes(batch_ref: str, call: TracedCall) -> dict[str, AttributeValue]:
    """Return what is told of a call: figures and names, and nothing that was said."""
    told: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": call.model,
        "tidemill.batch.id": batch_ref,
        "tidemill.job.seq": call.seq,
        "tidemill.attempt": call.n,
        "tidemill.pool": call.pool,
        "tidemill.outcome": call.outcome,
    }
    if call.usage is not None:
        told["gen_ai.usage.input_tokens"] = call.usage.total_input_tokens
        told["gen_ai.usage.output_tokens"] = call.usage.output_tokens
    if call.finish_reason is not None:
        told["gen_ai.response.finish_reasons"] = [call.finish_reason]
    if call.error_code is not None:
        told["error.type"] = call.error_code
    return told
