"""OpenTelemetry spans of deliveries (extra ``tracing``).

A span per handler call, of kind CLIENT, current while the handler runs, so that an instrumented
HTTP library hangs its own span below. The intent's ``traceparent`` (a session value, stored with
it) belongs to a request that ended long ago, perhaps days before the approval: the span is *linked*
to it and starts a trace of its own, as OpenTelemetry's messaging conventions have it for work that
is taken up later. A retry links to the same origin, so that all tries are found from there.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from synapsor_pg.observer import WorkerObserver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import TracerProvider as SdkProvider
    from opentelemetry.trace import Span, TracerProvider

    from synapsor_pg.handlers import Delivery, Outcome

# https://www.w3.org/TR/trace-context/#traceparent-header; a later version may say more behind it.
TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
INVALID_VERSION = "ff"


def origin(traceparent: str | None) -> SpanContext | None:
    """Return what a ``traceparent`` names; None when it names nothing valid."""
    found = TRACEPARENT.fullmatch(traceparent or "")
    if found is None or found[1] == INVALID_VERSION or (found[1] == "00" and found[5]):
        return None
    context = SpanContext(
        trace_id=int(found[2], 16),
        span_id=int(found[3], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(found[4], 16) & TraceFlags.SAMPLED),
    )
    return context if context.is_valid else None


class WorkerTraces(WorkerObserver):
    """A span per handler call."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """Use a provider of spans; the global one by default."""
        self._tracer = trace.get_tracer("synapsor_pg", tracer_provider=provider)
        # by the delivery itself: one whose claim was lost before it was sent takes its span along
        self._spans: WeakKeyDictionary[Delivery, Span] = WeakKeyDictionary()

    @contextlib.contextmanager
    def handling(self, delivery: Delivery) -> Iterator[None]:
        """Start the span; it ends with the handler's answer."""
        claim = delivery.claim
        context = origin(claim.traceparent)
        span = self._tracer.start_span(
            f"{claim.purpose} {claim.action}",
            kind=SpanKind.CLIENT,
            links=[] if context is None else [Link(context)],
            attributes={
                "synapsor.action": claim.action,
                "synapsor.action_id": claim.action_id,
                "synapsor.provider": claim.provider,
                "synapsor.operation": claim.operation,
                "synapsor.queue": claim.queue,
                "synapsor.purpose": claim.purpose,
                "synapsor.attempt": claim.attempt,
                "synapsor.correlation_id": claim.correlation_id or claim.action_id,
            },
        )
        self._spans[delivery] = span
        # what the handler raises is classified, and its answer ends the span without its words
        with trace.use_span(
            span, end_on_exit=False, record_exception=False, set_status_on_exception=False
        ):
            yield

    def answered(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:  # noqa: ARG002
        """Note the outcome and end the span."""
        span = self._spans.pop(delivery, None)
        if span is None:
            return
        span.set_attribute("synapsor.outcome", outcome.status)
        if outcome.error_code is not None:
            span.set_attribute("error.type", outcome.error_code)
        if outcome.status == "succeeded":
            span.set_status(Status(StatusCode.OK))
        else:
            # the code only: a message may repeat what was sent
            span.set_status(Status(StatusCode.ERROR, outcome.error_code))
        span.end()


def export_by_environment() -> SdkProvider:
    """Return a provider that sends spans where OpenTelemetry's OTEL_… variables say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    # a name from OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES wins
    provider = TracerProvider(
        resource=Resource({"service.name": "synapsor-worker"}).merge(Resource.create())
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
