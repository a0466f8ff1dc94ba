"""What is known of a frame before and after its instances are followed and smoothed; the port of trackers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.masks import Rle

NO_TRACK = 0
"""The number of an instance that belongs to no track."""


class Tracker(Protocol):
    """Says which instances of successive frames are the same object."""

    def follow(self, time_s: float, found: Detections, is_confident: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the track of each instance, int64 (N,), from 1; `NO_TRACK` if it is unsure and joins none.

        Every confident instance gets a track. A track holds instances of one class.

        Args:
            time_s: Of the frame; larger than that of the frame before.
            found: What the model found in it.
            is_confident: Which instances begin a track if they join none, bool (N,).
        """
        ...


@dataclass(frozen=True)
class TrackedFrame:
    """What was measured in a frame, and the track of each instance.

    Attributes:
        number: The frame's.
        time_s: Since the first frame.
        found: What the model found, below its threshold too.
        is_confident: Which reach the model's threshold, bool (N,).
        track_ids: int64 (N,), from 1; `NO_TRACK` for an instance of none.
        is_doubtful: The frame may be smeared: it takes no part in smoothing, nor in figures.
    """

    number: int
    time_s: float
    found: Detections
    is_confident: NDArray[np.bool_]
    track_ids: NDArray[np.int64]
    is_doubtful: bool = False


@dataclass(frozen=True)
class ToldInstance:
    """One instance as it is told, with what was measured.

    Attributes:
        track_id: From 1.
        class_index: Its class.
        score: Smoothed, 0..1.
        measured_score: The model's.
        box_xyxy: Smoothed: left, top, right, bottom in px.
        mask: Smoothed.
        measured_mask: The model's.
        is_confident: The model's score reaches its threshold. If not, the instance is told because the
            smoothed score does.
    """

    track_id: int
    class_index: int
    score: float
    measured_score: float
    box_xyxy: tuple[float, float, float, float]
    mask: Rle
    measured_mask: Rle
    is_confident: bool

    @property
    def has_smoothed_mask(self) -> bool:
        """Whether smoothing changed the mask."""
        return self.mask != self.measured_mask


@dataclass(frozen=True)
class ToldFrame:
    """The instances of a frame, best measured score first.

    Attributes:
        number: The frame's.
        time_s: Since the first frame.
        instances: What is told of it.
        is_doubtful: See `TrackedFrame`.
    """

    number: int
    time_s: float
    instances: tuple[ToldInstance, ...]
    is_doubtful: bool = False
