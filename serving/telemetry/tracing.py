"""Spans of requests, sent to an OpenTelemetry collector if settings name one; otherwise nothing at all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

_EXPORT_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 3.0
_SAID_EVERY_S: Final = 600.0
TALKATIVE: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)
"""The loggers that would tell of a dead collector every few seconds."""


class Span(Protocol):
    """One stretch of work."""

    def set(self, name: str, value: str | float) -> None:
        """Attach a fact."""
        ...


class Tracer(Protocol):
    """Opens spans."""

    def span(self, name: str, *, headers: Iterable[tuple[bytes, bytes]]) -> AbstractContextManager[Span]:
        """Open a span for the body, below the caller's if its headers name one (W3C Trace Context)."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class _NoSpan:
    def set(self, name: str, value: str | float) -> None:
        """Nothing."""


class _NoTracer:
    _span = _NoSpan()

    @contextmanager
    def span(self, name: str, *, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Span]:
        """Nothing."""
        yield self._span

    def close(self) -> None:
        """Nothing."""


NO_TRACER = _NoTracer()


def open_tracer(endpoint: str) -> Tracer:
    """Return a tracer that sends spans over OTLP/HTTP in the background; an empty endpoint sends none.

    Args:
        endpoint: A collector's traces address, such as ``http://127.0.0.1:4318/v1/traces``.
    """
    return OtlpTracer(endpoint) if endpoint else NO_TRACER


def record_stages(stages_s: Mapping[str, float]) -> None:
    """Show stages that are over below the present request's span, if there is one.

    Args:
        stages_s: Seconds by name, in order: one followed the other, and the last ends now.
    """
    if span := _request_span.get():
        span.add_stages(stages_s)


class OtlpTracer:
    """Sends spans over OTLP/HTTP. A collector that is slow or dead costs spans, never a request.

    Headers, sampling and attributes of the service come from OpenTelemetry's own environment variables, such
    as ``OTEL_EXPORTER_OTLP_HEADERS`` and ``OTEL_TRACES_SAMPLER``.
    """

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT_S)
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
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        parent = TraceContextTextMapPropagator().extract(carrier)
        with self._tracer.start_as_current_span(name, context=parent, kind=SpanKind.SERVER) as opened:
            span = _OtlpSpan(self._tracer, opened)
            token = _request_span.set(span)
            try:
                yield span
            finally:
                _request_span.reset(token)

    def close(self) -> None:
        """Send what is left, as far as the collector takes it within a few seconds."""
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(_CLOSE_TIMEOUT_S)


class _OtlpSpan:
    def __init__(self, tracer: Any, span: Any) -> None:
        self._tracer, self._span = tracer, span

    def set(self, name: str, value: str | float) -> None:
        """Attach a fact."""
        self._span.set_attribute(name, value)

    def add_stages(self, stages_s: Mapping[str, float]) -> None:
        """Add a child for each stage."""
        from opentelemetry.trace import set_span_in_context

        parent = set_span_in_context(self._span)
        started_ns = time.time_ns() - round(sum(stages_s.values()) * 1e9)
        for name, seconds in stages_s.items():
            ended_ns = started_ns + round(seconds * 1e9)
            self._tracer.start_span(name, context=parent, start_time=started_ns).end(ended_ns)
            started_ns = ended_ns


_request_span: ContextVar[_OtlpSpan | None] = ContextVar("the span of the present request", default=None)


class SaidSeldom(logging.Filter):
    """Lets one line through, and then none for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._next_at = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is written."""
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + _SAID_EVERY_S
        return True
