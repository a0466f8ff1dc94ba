"""How long the steps of a training wait for their batches: what a faster loader would save."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class WaitMeter:
    """Times how long each item of what it is given has to be waited for.

    Attributes:
        last_s: What the newest item took, in seconds.
    """

    def __init__(self) -> None:
        self.last_s = 0.0

    def watch(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items."""
        start = time.perf_counter()
        for item in items:
            self.last_s = time.perf_counter() - start
            yield item
            start = time.perf_counter()

    def share_percent(self, working_s: float) -> float:
        """Return the newest wait as a share of wait and work together, 0..100.

        >>> meter = WaitMeter()
        >>> meter.last_s = 1.0
        >>> meter.share_percent(3.0)
        25.0
        """
        return 100.0 * self.last_s / max(self.last_s + working_s, 1e-9)
