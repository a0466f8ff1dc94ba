"""The tracer that sends spans to an OpenTelemetry collector over OTLP/HTTP."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serving.telemetry.spans import REQUEST_SPAN, Span

_SAID_EVERY_S: Final = 600.0
TALKATIVE: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)
"""The loggers that would tell of a dead collector every few seconds."""


class OtlpTracer:
    """Sends spans over OTLP/HTTP. A collector that is slow or dead costs spans, never a request.

    Headers, sampling and attributes of the service come from OpenTelemetry's own environment variables, such
    as ``OTEL_EXPORTER_OTLP_HEADERS`` and ``OTEL_TRACES_SAMPLER``.
    """

    def __init__(self, endpoint: str, *, export_timeout_s: float = 5.0, close_timeout_s: float = 3.0) -> None:
        self._close_timeout_s = close_timeout_s
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=export_timeout_s)
        for name in TALKATIVE:
            logger = logging.getLogger(name)
            if not any(isinstance(each, SaidSeldom) for each in logger.filters):
                logger.addFilter(SaidSeldom())
        resource = Resource.create({"service.name": "maskloop"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # it may wait for long
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("maskloop.serving")

    @contextmanager
    def span(self, name: str, *, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Span]:
        """Open a span for the body."""
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        parent = TraceContextTextMapPropagator().extract(carrier)
        with self._tracer.start_as_current_span(name, context=parent, kind=SpanKind.SERVER) as opened:
            span = _OtlpSpan(self._tracer, opened)
            token = REQUEST_SPAN.set(span)
            try:
                yield span
            finally:
                REQUEST_SPAN.reset(token)

    def close(self) -> None:
        """Send what is left, as far as the collector takes it within a few seconds."""
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(self._close_timeout_s)


class _OtlpSpan:
    def __init__(self, tracer: Any, span: Any) -> None:
        self._tracer, self._span = tracer, span

    @property
    def trace_id(self) -> str:
        """Return the trace's id; empty for a request that the sampler leaves out."""
        context = self._span.get_span_context()
        return format_trace_id(context.trace_id) if context.trace_flags.sampled else ""

    def set(self, name: str, value: str | float) -> None:
        """Attach a fact."""
        self._span.set_attribute(name, value)

    def add_stages(self, stages_s: Mapping[str, float]) -> None:
        """Add a child for each stage."""
        parent = set_span_in_context(self._span)
        started_ns = time.time_ns() - round(sum(stages_s.values()) * 1e9)
        for name, seconds in stages_s.items():
            ended_ns = started_ns + round(seconds * 1e9)
            self._tracer.start_span(name, context=parent, start_time=started_ns).end(ended_ns)
            started_ns = ended_ns


class SaidSeldom(logging.Filter):
    """Lets one line through, and then none for a while."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s, self._next_at = now_s, 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is written."""
        now = self._now_s()
        if now < self._next_at:
            return False
        self._next_at = now + _SAID_EVERY_S
        return True
