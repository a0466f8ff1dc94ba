"""Spans of requests, sent to an OpenTelemetry collector if settings name one; otherwise nothing at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol


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


class OtlpTracer:
    """Sends spans over OTLP/HTTP."""

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(resource=Resource.create({"service.name": "maskloop"}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("maskloop.serving")

    @contextmanager
    def span(self, name: str, *, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Span]:
        """Open a span for the body."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        parent = TraceContextTextMapPropagator().extract(carrier)
        with self._tracer.start_as_current_span(name, context=parent, kind=SpanKind.SERVER) as span:
            yield _OtlpSpan(span)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class _OtlpSpan:
    def __init__(self, span: Any) -> None:
        self._span = span

    def set(self, name: str, value: str | float) -> None:
        """Attach a fact."""
        self._span.set_attribute(name, value)
