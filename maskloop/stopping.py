"""Being asked to stop: long work hears of it between its steps, saves what it has, and ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from maskloop.errors import StoppedError


class StopRequest:
    """Whether this process was asked to stop, by Ctrl-C (SIGINT) or SIGTERM."""

    def __init__(self) -> None:
        self._signal_number = 0

    def note(self, signal_number: int) -> None:
        """Ask for it."""
        self._signal_number = signal_number

    def is_made(self) -> bool:
        """Tell whether it was asked for."""
        return self._signal_number != 0

    @property
    def exit_code(self) -> int:
        """What a shell makes of a program that the signal has ended: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + (self._signal_number or signal.SIGINT)

    def make_error(self, done: str) -> StoppedError:
        """Return the error that ends the work, with what was done until now and the signal's exit code."""
        error = StoppedError(done)
        error.exit_code = self.exit_code
        return error

    def check(self) -> None:
        """Raise StoppedError if it was asked for: for work that has nothing to save half way."""
        if self.is_made():
            raise StoppedError("the work was stopped")


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """For the body, turn the first SIGINT or SIGTERM into a request; a second one acts as it did before.

    A signal that is ignored stays ignored. Signals reach the main thread only, so in another thread nothing
    is ever requested.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def put_back() -> None:
        for sign, handler in before.items():
            signal.signal(sign, handler)

    def hear(signal_number: int, _frame: FrameType | None) -> None:
        request.note(signal_number)
        put_back()

    handlers = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)}
    before = {sign: handler for sign, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    for sign in before:
        signal.signal(sign, hear)
    try:
        yield request
    finally:
        put_back()
