"""How much masks of objects at rest change from one frame to the next, before and after smoothing.

Jitter is 1 minus the mean IoU of an object's masks in two consecutive frames, over all pairs of frames in
which the object is at rest. It is at rest between frames ``t`` and ``t + 1`` if the median centroid of its
measured masks in the frames ``t - 3`` to ``t`` lies no further than `rest_limit_px` from that in ``t + 1`` to
``t + 4``. Which pairs count is decided by what was measured, so that both figures are of the same pairs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskloop.masks import Rle, areas_px, crop_mask, mask_iou
from models.tracking.tracks import ToldFrame, ToldInstance

REACH: Final = 4
"""Frames on either side of a pair that say whether the object is at rest."""
_LEAST_SEEN: Final = 2
"""On each side; an object that was seen in fewer is not known to be at rest."""
_REST_SHARE: Final = 0.01
_REST_PX: Final = 0.5


@dataclass(frozen=True)
class Jitter:
    """How steady masks and scores of objects at rest are.

    Attributes:
        num_pairs: Of an object in two consecutive frames.
        before: Jitter of the measured masks, 0..1; None without pairs.
        after: Of the smoothed ones.
        score_before: Mean change of the measured score, 0..1.
        score_after: Of the smoothed one.
    """

    num_pairs: int
    before: float | None
    after: float | None
    score_before: float | None
    score_after: float | None


def rest_limit_px(area_px: float) -> float:
    """Return how far the centroid of an object at rest may seem to move, from its mask's area.

    >>> rest_limit_px(100.0), rest_limit_px(40_000.0)
    (0.5, 2.0)
    """
    return max(_REST_PX, _REST_SHARE * math.sqrt(area_px))


def is_at_rest(
    before_xy: Sequence[tuple[float, float]], after_xy: Sequence[tuple[float, float]], area_px: float
) -> bool:
    """Tell whether an object is at rest, from its centroids, in px, in up to `REACH` frames on either side.

    >>> is_at_rest([(5.0, 5.0), (5.4, 5.0)], [(5.0, 5.0), (5.2, 5.1)], 100.0)
    True
    >>> is_at_rest([(5.0, 5.0), (6.0, 5.0)], [(7.0, 5.0), (8.0, 5.0)], 100.0)
    False
    """
    if min(len(before_xy), len(after_xy)) < _LEAST_SEEN:
        return False
    way = np.median(np.array(after_xy), axis=0) - np.median(np.array(before_xy), axis=0)
    return float(np.hypot(*way)) <= rest_limit_px(area_px)


class JitterMeter:
    """Sums up jitter frame by frame; keeps twice `REACH` frames."""

    def __init__(self) -> None:
        self._frames: deque[ToldFrame] = deque(maxlen=2 * REACH)
        self._centres: deque[dict[int, tuple[float, float]]] = deque(maxlen=2 * REACH)
        self._num_pairs = 0
        self._sums = np.zeros(4)

    def add(self, frame: ToldFrame) -> None:
        """Take the next frame."""
        self._frames.append(frame)
        self._centres.append({} if frame.is_doubtful else _find_centres(frame))
        if len(self._frames) > REACH:
            self._measure(len(self._frames) - REACH - 1)

    def result(self) -> Jitter:
        """Return the figures, once all frames were taken."""
        for earlier in range(max(0, len(self._frames) - REACH), len(self._frames) - 1):
            self._measure(earlier)
        self._frames.clear()
        self._centres.clear()
        if not self._num_pairs:
            return Jitter(0, None, None, None, None)
        iou_before, iou_after, *scores = (self._sums / self._num_pairs).tolist()
        return Jitter(self._num_pairs, 1.0 - iou_before, 1.0 - iou_after, *scores)

    def _measure(self, earlier: int) -> None:
        """Take the pair of the frames at these places of the queue, one behind the other."""
        first, second = self._frames[earlier], self._frames[earlier + 1]
        if second.number != first.number + 1 or first.is_doubtful or second.is_doubtful:
            return
        later = {one.track_id: one for one in second.instances}
        for one in first.instances:
            if one.track_id in later and self._is_at_rest(earlier, first.number, one):
                self._num_pairs += 1
                self._sums += _compare(one, later[one.track_id])

    def _is_at_rest(self, earlier: int, number: int, one: ToldInstance) -> bool:
        sides: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
        for frame, centres in zip(self._frames, self._centres, strict=True):
            if number - REACH < frame.number <= number + REACH and one.track_id in centres:
                sides[frame.number > number].append(centres[one.track_id])
        return is_at_rest(*sides, float(areas_px([one.measured_mask])[0]))


def _compare(one: ToldInstance, later: ToldInstance) -> np.ndarray:
    return np.array(
        [
            _iou(one.measured_mask, later.measured_mask),
            _iou(one.mask, later.mask),
            abs(one.measured_score - later.measured_score),
            abs(one.score - later.score),
        ]
    )


def _iou(one: Rle, other: Rle) -> float:
    return float(mask_iou([one], [other])[0, 0])


def _find_centres(frame: ToldFrame) -> dict[int, tuple[float, float]]:
    centres = {}
    for one in frame.instances:
        left, top, pixels = crop_mask(one.measured_mask)
        rows, columns = np.nonzero(pixels)
        if len(rows):
            centres[one.track_id] = (left + float(columns.mean()), top + float(rows.mean()))
    return centres
