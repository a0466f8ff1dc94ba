"""Decoding processes that serve one test after the other: most of their time would go into their start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from dataset.pictures.sandbox import Child, DecodingLimits

USERS = ("dataset.pictures.sandbox.Child", "dataset.pictures.async_sandbox.Child")
"""Who starts children."""


class KeptChildren:
    """Real children that wait, once a decoder is closed, for the next one with the same limits."""

    def __init__(self) -> None:
        self._idle: dict[DecodingLimits, list[KeptChild]] = defaultdict(list)

    def take(self, limits: DecodingLimits) -> Child:
        """Return a child that waits, else start one."""
        waiting = self._idle[limits]
        while waiting:
            child = waiting.pop()
            if child.is_running:
                return child
            child.end()
        return KeptChild(limits, waiting)

    def end(self) -> None:
        for waiting in self._idle.values():
            while waiting:
                waiting.pop().end()


class KeptChild(Child):
    """A child that is not ended with its decoder, unless it failed."""

    def __init__(self, limits: DecodingLimits, waiting: list[KeptChild]) -> None:
        super().__init__(limits)
        self._waiting = waiting

    def stop(self) -> None:
        self._waiting.append(self)

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        super().stop()


@contextmanager
def children_kept() -> Iterator[None]:
    """Keep the children of all decoders of this process until the end."""
    kept = KeptChildren()
    with ExitStack() as patched:
        for user in USERS:
            patched.enter_context(patch(user, kept.take))
        yield
    kept.end()
