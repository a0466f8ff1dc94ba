"""Spans, sent to an OpenTelemetry collector if settings name one; otherwise nothing at all."""

from __future__ import annotations

from collections.abc import Sequence

from serving.telemetry.spans import NO_TRACER, FinishedSpan, Tracer


def open_tracer(endpoint: str) -> Tracer:
    """Return a tracer that sends spans over OTLP/HTTP in the background; an empty endpoint sends none.

    Args:
        endpoint: A collector's traces address, such as ``http://127.0.0.1:4318/v1/traces``.
    """
    if not endpoint:
        return NO_TRACER
    from serving.telemetry.otlp import OtlpTracer  # OpenTelemetry's exporter, which most services never use

    return OtlpTracer(endpoint)


def send_spans(endpoint: str, spans: Sequence[FinishedSpan], *, timeout_s: float) -> bool:
    """Send spans of work that is over, within a time; tell whether the collector took them.

    Args:
        endpoint: As for `open_tracer`, and not empty.
        spans: Of one trace or several.
        timeout_s: For all of them together.
    """
    from serving.telemetry.finished_spans import send_over_http  # OpenTelemetry, as above

    return send_over_http(endpoint, spans, timeout_s=timeout_s)
