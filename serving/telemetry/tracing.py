"""Spans of requests, sent to an OpenTelemetry collector if settings name one; otherwise nothing at all."""

from __future__ import annotations

from serving.telemetry.spans import NO_TRACER, Tracer


def open_tracer(endpoint: str) -> Tracer:
    """Return a tracer that sends spans over OTLP/HTTP in the background; an empty endpoint sends none.

    Args:
        endpoint: A collector's traces address, such as ``http://127.0.0.1:4318/v1/traces``.
    """
    if not endpoint:
        return NO_TRACER
    from serving.telemetry.otlp import OtlpTracer  # OpenTelemetry's exporter, which most services never use

    return OtlpTracer(endpoint)
