"""Spans of requests: what a tracer is, and the one that records nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


class Span(Protocol):
    """One stretch of work."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; empty if nothing is recorded."""
        ...

    def set(self, name: str, value: str | float) -> None:
        """Attach a fact."""
        ...


class RequestSpan(Span, Protocol):
    """The span of a request."""

    def add_stages(self, stages_s: Mapping[str, float]) -> None:
        """Add a child for each stage, by name and seconds; the last ends now."""
        ...


REQUEST_SPAN: ContextVar[RequestSpan | None] = ContextVar("the span of the present request", default=None)


@dataclass(frozen=True)
class FinishedSpan:
    """A stretch of work that is over.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_id: Of the span that it is part of; empty for the whole.
        name: What was done.
        began_at: UTC.
        ended_at: UTC.
        facts: What it was about, by name.
        error: Why it failed; empty if it did not.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    began_at: datetime
    ended_at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


class Tracer(Protocol):
    """Opens spans."""

    def span(self, name: str, *, headers: Iterable[tuple[bytes, bytes]]) -> AbstractContextManager[Span]:
        """Open a span for the body, below the caller's if its headers name one (W3C Trace Context)."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class _NoSpan:
    trace_id = ""

    def set(self, name: str, value: str | float) -> None:
        """Do nothing."""


class _NoTracer:
    _span = _NoSpan()

    @contextmanager
    def span(self, name: str, *, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Span]:
        """Do nothing."""
        yield self._span

    def close(self) -> None:
        """Do nothing."""


NO_TRACER = _NoTracer()


def current_trace_id() -> str:
    """Return the trace of the present request; empty if it has none."""
    span = REQUEST_SPAN.get()
    return span.trace_id if span else ""


def record_stages(stages_s: Mapping[str, float]) -> None:
    """Show stages that are over below the present request's span, if there is one.

    Args:
        stages_s: Seconds by name, in order: one followed the other, and the last ends now.
    """
    if span := REQUEST_SPAN.get():
        span.add_stages(stages_s)
