"""Ctrl-C and SIGTERM as an event, for what runs until it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event


@contextmanager
def stop_signal() -> Iterator[Event]:
    """Give an event that Ctrl-C and SIGTERM set; afterwards they do what they did before."""
    stopped = Event()
    before = {sign: signal.signal(sign, lambda *_: stopped.set()) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
