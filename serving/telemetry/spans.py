"""Spans of requests: what a tracer is, and the one that records nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol


class Span(Protocol):
    """One stretch of work."""

    def set(self, name: str, value: str | float) -> None:
        """Attach a fact."""
        ...


class RequestSpan(Span, Protocol):
    """The span of a request."""

    def add_stages(self, stages_s: Mapping[str, float]) -> None:
        """Add a child for each stage, by name and seconds; the last ends now."""
        ...


REQUEST_SPAN: ContextVar[RequestSpan | None] = ContextVar("the span of the present request", default=None)


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


def record_stages(stages_s: Mapping[str, float]) -> None:
    """Show stages that are over below the present request's span, if there is one.

    Args:
        stages_s: Seconds by name, in order: one followed the other, and the last ends now.
    """
    if span := REQUEST_SPAN.get():
        span.add_stages(stages_s)
