"""ByteTrack, from the library trackers, with one tracker for each class.

Source: Y. Zhang et al., "ByteTrack: multi-object tracking by associating every detection box", ECCV 2022.
Boxes are predicted by a Kalman filter; confident detections are assigned first, then unsure ones to the
tracks that are left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from maskloop.errors import ConfigurationError
from models.tracking.tracks import NO_TRACK

_CONFIDENT, _UNSURE, _LIMIT = 0.9, 0.1, 0.5
"""The library takes scores only to divide detections in two. Each class has a threshold of its own, and the
library compares a score that equals its limit in two ways (float32 and float64), so it is given these."""
_LEAST_IOU: Final = 0.2
"""Of a detection's box with the predicted one."""
_BUFFER_RATE: Final = 30.0
"""The library counts the time that it waits in frames of such a video."""


class ByteTracks:
    """Follows boxes: `models.tracking.tracks.Tracker`.

    Args:
        rate: Frames a second, on average. The times between frames are the real ones.
        lost_s: How long an object may stay unseen until its track ends.

    Raises:
        ConfigurationError: if the library is not installed.
    """

    def __init__(self, rate: float, lost_s: float) -> None:
        try:
            import supervision
            import trackers
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"following instances needs the package {error.name}, which is not installed",
                hint="install maskloop with its extra: pip install 'maskloop[video]'",
            ) from error
        self._boxes, self._kind = supervision.Detections, trackers.ByteTrackTracker
        self._rate, self._lost_s = rate, lost_s
        self._by_class: dict[int, _OfOneClass] = {}
        self._num_tracks = 0

    def follow(self, time_s: float, found: Detections, is_confident: NDArray[np.bool_]) -> NDArray[np.int64]:
        """See the port: int64 (N,) from bool (N,)."""
        track_ids = np.full(len(found), NO_TRACK, np.int64)
        for class_index in sorted({*found.class_indices.tolist(), *self._by_class}):
            rows = np.flatnonzero(found.class_indices == class_index)
            tracker = self._by_class.setdefault(class_index, self._of_one_class())
            given = self._boxes(
                xyxy=found.boxes_xyxy[rows].astype(np.float64),
                confidence=np.where(is_confident[rows], _CONFIDENT, _UNSURE),
                data={"row": rows},
            )
            track_ids[rows] = tracker.follow(time_s, given, rows, self._number)
        return track_ids

    def _of_one_class(self) -> _OfOneClass:
        return _OfOneClass(
            self._kind(
                lost_track_buffer=round(self._lost_s * _BUFFER_RATE),
                frame_rate=self._rate,
                track_activation_threshold=_LIMIT,
                high_conf_det_threshold=_LIMIT,
                minimum_consecutive_frames=1,
                minimum_iou_threshold=_LEAST_IOU,
            )
        )

    def _number(self) -> int:
        self._num_tracks += 1
        return self._num_tracks


class _OfOneClass:
    """The tracker of one class.

    The library numbers an object from its second detection on; the first is told without a number. Its tracks
    are told apart by identity here, so that the first detection has the number of the others.
    """

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker
        self._numbers: dict[int, tuple[Any, int]] = {}

    def follow(
        self, time_s: float, given: Any, rows: NDArray[np.int64], number: Callable[[], int]
    ) -> NDArray[np.int64]:
        told = self._tracker.update(given, timestamp=time_s)
        tracks = self._tracker.tracks
        begun = [track for track in tracks if id(track) not in self._numbers]
        self._numbers = {id(track): self._numbers.get(id(track), (track, NO_TRACK)) for track in tracks}
        ours_of = {track.tracker_id: ours for track, ours in self._numbers.values()}
        number_of_row: dict[int, int] = {}
        for place in range(len(told)):
            row, theirs = int(told.data["row"][place]), int(told.tracker_id[place])
            if theirs >= 0:
                number_of_row[row] = ours_of[theirs]
            elif told.confidence[place] >= _LIMIT:  # it has begun a track, in the order in which tracks are
                track = begun.pop(0)
                number_of_row[row] = number()
                self._numbers[id(track)] = (track, number_of_row[row])
        return np.array([number_of_row.get(int(row), NO_TRACK) for row in rows], np.int64)
