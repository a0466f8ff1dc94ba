"""The figures of a training on their way to the tracker, whose troubles never end a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from maskloop.clock import Clock
from maskloop.errors import MaskloopError, UnavailableError
from registry.ports import RunTracker

_PAUSE: Final = timedelta(seconds=60)
"""How long nothing is tried after the tracker did not answer: each try may wait for many seconds."""


@dataclass
class FigureLog:
    """Records the figures of one run. Those that the tracker cannot take now are tried again later.

    Attributes:
        tracker: Takes them.
        run_id: Where they are recorded.
        clock: Says when to try again.
        say: Hears of trouble, once.
    """

    tracker: RunTracker
    run_id: str
    clock: Clock
    say: Callable[[str], None]
    _waiting: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    _paused_until: datetime | None = None
    _has_warned: bool = False

    def log(self, figures: Mapping[str, float], *, step: int) -> None:
        """Record figures of a training step, now or as soon as the tracker answers again."""
        self._waiting.append((step, figures))
        if self._paused_until is None or self.clock.now() >= self._paused_until:
            self.flush()

    def flush(self) -> None:
        """Record what waits. What the tracker refuses is given up; what it does not answer to waits on."""
        while self._waiting:
            step, figures = self._waiting[0]
            try:
                self.tracker.log_metrics(self.run_id, figures, step=step)
            except UnavailableError as error:
                self._paused_until = self.clock.now() + _PAUSE
                self._warn(f"figures of this training wait for MLflow; the training goes on: {error}")
                return
            except MaskloopError as error:
                self._warn(f"some figures of this training are not in MLflow; the training goes on: {error}")
            self._waiting.pop(0)
        self._paused_until = None

    def _warn(self, sentence: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            self.say(sentence)
