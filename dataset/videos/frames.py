"""What a video file says of itself, and its frames one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

_USUAL_RATE: Final = 25.0
"""Frames a second where a file says nothing of it."""


@dataclass(frozen=True)
class VideoFacts:
    """What a file says of itself. Counts and durations are statements, not measurements.

    Attributes:
        height_px: Of its frames, upright.
        width_px: Likewise.
        rotation_deg: By which its frames were turned to be upright, counterclockwise: 0, 90, 180 or 270.
        num_frames_stated: 0 if it does not say.
        duration_s: 0 if it does not say.
        rate: Frames a second, on average; above 0.
        codec: For example ``h264``.
    """

    height_px: int
    width_px: int
    rotation_deg: int
    num_frames_stated: int
    duration_s: float
    rate: float
    codec: str

    @property
    def num_frames_expected(self) -> int:
        """How many there may be, by count or duration; 0 if nothing is known."""
        return self.num_frames_stated or round(self.duration_s * self.rate)


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        number: Counted from 0, in the order in which frames are shown.
        time_s: Since the first frame, by the file's own timestamps; larger for each further frame.
        pixels: uint8 (H, W, 3), RGB, upright; None if it is broken, or was not asked for.
        error: Why it is broken; empty if it is not.
        is_doubtful: Something before it was broken, and no key frame has come since: it may be smeared.
    """

    number: int
    time_s: float
    pixels: NDArray[np.uint8] | None
    error: str = ""
    is_doubtful: bool = False


@dataclass(frozen=True)
class Loss:
    """Part of a file of which no frame came.

    Attributes:
        after_s: Time of the last frame before it; 0 if there was none.
        reason: What the decoder said.
        is_end: Nothing comes behind it, although the file was not over.
    """

    after_s: float
    reason: str
    is_end: bool = False


class Video(Protocol):
    """A video file that is open."""

    @property
    def facts(self) -> VideoFacts:
        """What it says of itself."""
        ...

    def read(self, first: int = 0) -> Iterator[Frame | Loss]:
        """Yield all frames, in order, and what was lost between them; may be called again.

        Args:
            first: Frames with lower numbers are passed over: they come without pixels.
        """
        ...


class FrameClock:
    """Turns timestamps into times since the first frame that always grow.

    Args:
        rate: Frames a second, for frames without a timestamp.

    >>> clock = FrameClock(10.0)
    >>> [clock.tell(stated) for stated in (1.4, 1.5, None, 1.5)]
    [0.0, 0.1, 0.2, 0.201]
    """

    _LEAST_STEP_S: Final = 0.001

    def __init__(self, rate: float) -> None:
        self._step_s = 1.0 / rate if rate > 0 else 1.0 / _USUAL_RATE
        self._origin_s: float | None = None
        self._last_s: float | None = None

    def tell(self, stated_s: float | None) -> float:
        """Return the time of the next frame, in s with six decimals; None: it has no timestamp."""
        if self._origin_s is None:
            self._origin_s = stated_s or 0.0
            time_s = 0.0
        elif stated_s is None:
            time_s = (self._last_s or 0.0) + self._step_s
        else:
            time_s = stated_s - self._origin_s
        if self._last_s is not None:
            time_s = max(time_s, self._last_s + self._LEAST_STEP_S)
        self._last_s = round(time_s, 6)
        return self._last_s
