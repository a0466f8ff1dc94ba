"""Masks, boxes and scores of a track, smoothed over the frames around each.

The smoother is a running median (J. W. Tukey, Exploratory Data Analysis, 1977): of scores and box sides as
numbers, of masks pixel by pixel, where the median of zeros and ones is the majority. A neighbour's mask is
first moved onto the frame's own, and votes only if it then agrees with it (as a bilateral filter leaves out
what differs: C. Tomasi and R. Manduchi, Bilateral filtering for gray and color images, ICCV 1998). So an
object that moves is smoothed along its way, and one that turns, changes its shape or disappears behind
another is left as it was measured.

Nothing is invented: an instance is told only in frames in which the model found it. Nothing is dropped: an
instance that reaches the model's threshold is told, whatever the frames around it say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.masks import Rle, crop_mask, place_mask
from models.tracking.tracks import NO_TRACK, ToldFrame, ToldInstance, TrackedFrame

LEAST_AGREEMENT: Final = 0.7
"""IoU with the frame's own mask, once moved onto it, from which on a neighbour votes."""


@dataclass(frozen=True)
class _Seen:
    """One instance of a track in one frame; ``pixels``, bool (h, w), lie at ``left_px``, ``top_px``."""

    number: int
    score: float
    box_xyxy: NDArray[np.float64]
    mask: Rle
    left_px: int
    top_px: int
    pixels: NDArray[np.bool_]

    @property
    def centre_xy(self) -> NDArray[np.float64]:
        rows, columns = np.nonzero(self.pixels)
        return np.array([self.left_px + columns.mean(), self.top_px + rows.mean()])


def smooth_tracks(
    frames: Iterable[TrackedFrame], *, half_window: int, reaches: Callable[[int, float], bool]
) -> Iterator[ToldFrame]:
    """Yield what is told of each frame, in order. Memory holds ``2 * half_window + 1`` frames.

    Args:
        frames: In order of their numbers, of which some may be missing.
        half_window: Frames on either side that take part; 0 tells what was measured.
        reaches: Says whether a score reaches the model's threshold for a class index.
    """
    window: deque[tuple[TrackedFrame, dict[int, _Seen]]] = deque()
    waiting: deque[tuple[TrackedFrame, dict[int, _Seen]]] = deque()
    for frame in frames:
        entry = (frame, _by_track(frame) if half_window else {})
        window.append(entry)
        waiting.append(entry)
        while waiting and waiting[0][0].number + half_window <= frame.number:
            yield _tell(*waiting[0], window, half_window, reaches)
            waiting.popleft()
        while window and waiting and window[0][0].number + half_window < waiting[0][0].number:
            window.popleft()
    while waiting:
        yield _tell(*waiting[0], window, half_window, reaches)
        waiting.popleft()


def _by_track(frame: TrackedFrame) -> dict[int, _Seen]:
    if frame.is_doubtful:
        return {}
    found = frame.found
    rows = np.flatnonzero(frame.track_ids != NO_TRACK).tolist()
    return {
        int(frame.track_ids[row]): _Seen(
            frame.number,
            float(found.scores[row]),
            found.boxes_xyxy[row].astype(np.float64),
            found.masks[row],
            *crop_mask(found.masks[row]),
        )
        for row in rows
    }


def _tell(
    frame: TrackedFrame,
    own: dict[int, _Seen],
    window: Iterable[tuple[TrackedFrame, dict[int, _Seen]]],
    half_window: int,
    reaches: Callable[[int, float], bool],
) -> ToldFrame:
    """Return what is told of a frame, given the frames around it."""
    near = [seen for other, seen in window if abs(other.number - frame.number) <= half_window]
    told = []
    for row, track_id in enumerate(frame.track_ids.tolist()):
        class_index, is_confident = int(frame.found.class_indices[row]), bool(frame.is_confident[row])
        measured, mask = float(frame.found.scores[row]), frame.found.masks[row]
        score, box, smooth = measured, frame.found.boxes_xyxy[row].astype(np.float64), mask
        if track_id in own:
            track = [seen[track_id] for seen in near if track_id in seen]
            score, box, smooth = _smooth(own[track_id], track)
        if is_confident or (track_id != NO_TRACK and reaches(class_index, score)):
            left, top, right, bottom = (round(side, 2) for side in box.tolist())
            told.append(
                ToldInstance(
                    track_id,
                    class_index,
                    score,
                    measured,
                    (left, top, right, bottom),
                    smooth,
                    mask,
                    is_confident,
                )
            )
    return ToldFrame(frame.number, frame.time_s, tuple(told), frame.is_doubtful)


def _smooth(own: _Seen, track: Sequence[_Seen]) -> tuple[float, NDArray[np.float64], Rle]:
    """Return the smoothed score, box and mask of an instance; its own mask is in ``track`` too."""
    score = float(np.median([seen.score for seen in track]))
    if not own.pixels.any():
        return score, own.box_xyxy, own.mask
    placed = ((seen, _move_onto(own, seen)) for seen in track)
    votes = [(seen, shift_xy) for seen, shift_xy in placed if shift_xy is not None]
    boxes = [seen.box_xyxy + np.tile(shift_xy, 2) for seen, shift_xy in votes]
    return score, np.median(boxes, axis=0), _vote(own, votes)


def _move_onto(own: _Seen, other: _Seen) -> NDArray[np.int64] | None:
    """Return by how many px, x and y, another frame's mask is moved onto this one; None if they disagree.

    It is moved by the difference of the centroids, or not at all if it fits as well where it is.
    """
    if other is own:
        return np.zeros(2, np.int64)
    if not other.pixels.any():
        return None
    moved = np.rint(own.centre_xy - other.centre_xy).astype(np.int64)
    stays = np.zeros(2, np.int64)
    agreements = {0: _agreement(own, other, stays)}
    if moved.any():
        agreements[1] = _agreement(own, other, moved)
    best = max(agreements, key=lambda which: (agreements[which], -which))
    if agreements[best] < LEAST_AGREEMENT:
        return None
    return moved if best else stays


def _agreement(own: _Seen, other: _Seen, shift_xy: NDArray[np.int64]) -> float:
    """Return the IoU of two masks, one of them moved."""
    left, top = other.left_px + int(shift_xy[0]), other.top_px + int(shift_xy[1])
    height, width = other.pixels.shape
    own_height, own_width = own.pixels.shape
    x0, x1 = max(left, own.left_px), min(left + width, own.left_px + own_width)
    y0, y1 = max(top, own.top_px), min(top + height, own.top_px + own_height)
    if x0 >= x1 or y0 >= y1:
        return 0.0
    mine = own.pixels[y0 - own.top_px : y1 - own.top_px, x0 - own.left_px : x1 - own.left_px]
    theirs = other.pixels[y0 - top : y1 - top, x0 - left : x1 - left]
    shared = int((mine & theirs).sum())
    return shared / (int(own.pixels.sum()) + int(other.pixels.sum()) - shared)


def _vote(own: _Seen, votes: Sequence[tuple[_Seen, NDArray[np.int64]]]) -> Rle:
    """Return the pixels that more than half of the masks cover; of a tie, the frame's own."""
    height_px, width_px = own.mask.height_px, own.mask.width_px
    places = [(seen.left_px + int(shift[0]), seen.top_px + int(shift[1])) for seen, shift in votes]
    shapes = [seen.pixels.shape for seen, _ in votes]
    left, top = (max(0, min(place[axis] for place in places)) for axis in (0, 1))
    right = min(width_px, max(x + shape[1] for (x, _), shape in zip(places, shapes, strict=True)))
    bottom = min(height_px, max(y + shape[0] for (_, y), shape in zip(places, shapes, strict=True)))
    num_votes_HW = np.zeros((bottom - top, right - left), np.int64)
    for (seen, _), (x, y) in zip(votes, places, strict=True):
        x0, y0 = max(x, left), max(y, top)
        x1, y1 = min(x + seen.pixels.shape[1], right), min(y + seen.pixels.shape[0], bottom)
        inside = seen.pixels[y0 - y : y1 - y, x0 - x : x1 - x]
        num_votes_HW[y0 - top : y1 - top, x0 - left : x1 - left] += inside
    mine = np.zeros(num_votes_HW.shape, dtype=bool)
    y, x = own.top_px - top, own.left_px - left
    mine[y : y + own.pixels.shape[0], x : x + own.pixels.shape[1]] = own.pixels
    chosen = np.where(2 * num_votes_HW == len(votes), mine, 2 * num_votes_HW > len(votes))
    if not chosen.any() or np.array_equal(chosen, mine):
        return own.mask
    return place_mask(chosen, left_px=left, top_px=top, height_px=height_px, width_px=width_px)
