"""Spans of work that is over, with ids that were chosen before, sent to a collector in one go."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from serving.telemetry.otlp import TALKATIVE
from serving.telemetry.spans import FinishedSpan

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


def send_over_http(endpoint: str, spans: Sequence[FinishedSpan], *, timeout_s: float) -> bool:
    """Send spans to a collector's traces address; tell whether it took them, within the time."""
    with _silent(TALKATIVE):  # what comes of it is returned, and told once
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s)
        try:
            return export_spans(exporter, spans)
        finally:
            exporter.shutdown()  # type: ignore[no-untyped-call]


def export_spans(exporter: SpanExporter, spans: Sequence[FinishedSpan]) -> bool:
    """Hand spans to an exporter; tell whether it took them."""
    try:
        taken = exporter.export([_to_readable(span) for span in spans])
    except Exception:  # noqa: BLE001 - an exporter that breaks has sent nothing, and nothing else may suffer
        return False
    return taken is SpanExportResult.SUCCESS


@contextmanager
def _silent(names: Sequence[str]) -> Iterator[None]:
    """Let loggers write nothing while the body runs."""
    loggers = [logging.getLogger(name) for name in names]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)


def _to_readable(span: FinishedSpan) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        context=_context(span.trace_id, span.span_id),
        parent=_context(span.trace_id, span.parent_id) if span.parent_id else None,
        resource=Resource.create({"service.name": "maskloop"}),
        attributes=dict(span.facts),
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
        start_time=_nanoseconds(span.began_at),
        end_time=_nanoseconds(span.ended_at),
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp() * 1e6) * 1000
