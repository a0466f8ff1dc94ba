"""What a video run counts while its frames are told: instances, tracks, what was smoothed, and jitter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flows.video.following import FollowedFrame
from maskloop.masks import mask_iou
from models.tracking.jitter import Jitter, JitterMeter
from models.tracking.tracks import ToldFrame, ToldInstance


@dataclass
class Track:
    """One object, as far as it was told.

    Attributes:
        number: From 1.
        class_index: Its class.
        first_frame: In which it was told.
        first_s: When that was.
        last_frame: The last one so far.
        last_s: When that was.
        num_frames: In which it was told.
        num_missed: Answered frames between the first and the last in which it was not.
        sum_score: Of the smoothed scores.
    """

    number: int
    class_index: int
    first_frame: int
    first_s: float
    last_frame: int
    last_s: float
    num_frames: int = 0
    num_missed: int = 0
    sum_score: float = 0.0


@dataclass
class Tally:
    """Counts frames as they pass.

    Attributes:
        num_frames: All.
        num_answered: Those with an answer.
        num_doubtful: Of them, those that may be smeared.
        num_instances: Told.
        num_below_threshold: Of them, those that the model found below its threshold.
        num_smoothed: Of them, those whose mask was changed.
        sum_iou: Of the told masks of those with the measured ones.
        longest_gap_s: Between two frames.
        tracks: By number.
        set_aside: Frame, time in s and reason of everything without an answer.
    """

    num_frames: int = 0
    num_answered: int = 0
    num_doubtful: int = 0
    num_instances: int = 0
    num_below_threshold: int = 0
    num_smoothed: int = 0
    sum_iou: float = 0.0
    longest_gap_s: float = 0.0
    tracks: dict[int, Track] = field(default_factory=dict)
    set_aside: list[tuple[int | None, float, str]] = field(default_factory=list)
    _last_s: float = 0.0
    _seen_at: dict[int, int] = field(default_factory=dict)
    _meter: JitterMeter = field(default_factory=JitterMeter)

    def passing(self, frames: Iterable[FollowedFrame]) -> Iterator[FollowedFrame]:
        """Yield the frames again, counted."""
        for frame in frames:
            self._count(frame)
            yield frame

    @property
    def num_missed(self) -> int:
        """How often an object was not found between two frames in which it was."""
        return sum(track.num_missed for track in self.tracks.values())

    def jitter(self) -> Jitter:
        """Return the figures of objects at rest; ask once, at the end."""
        return self._meter.result()

    def rows(self, class_names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """Yield one row for each track."""
        for track in self.tracks.values():
            yield {
                "track": track.number,
                "class": class_names[track.class_index],
                "first_frame": track.first_frame,
                "first_s": track.first_s,
                "last_frame": track.last_frame,
                "last_s": track.last_s,
                "frames": track.num_frames,
                "missed": track.num_missed,
                "mean_score": round(track.sum_score / track.num_frames, 4),
            }

    def _count(self, frame: FollowedFrame) -> None:
        measured, told = frame.measured, frame.told
        self.num_frames += 1
        self.longest_gap_s = max(self.longest_gap_s, round(measured.time_s - self._last_s, 6))
        self._last_s = measured.time_s
        if told is None:
            self.set_aside.append((measured.number, measured.time_s, measured.error))
            return
        self.num_answered += 1
        self.num_doubtful += told.is_doubtful
        self._meter.add(told)
        for one in told.instances:
            self._count_instance(one, told)

    def _count_instance(self, one: ToldInstance, told: ToldFrame) -> None:
        self.num_instances += 1
        self.num_below_threshold += not one.is_confident
        if one.has_smoothed_mask:
            self.num_smoothed += 1
            self.sum_iou += float(mask_iou([one.mask], [one.measured_mask])[0, 0])
        here = (told.number, told.time_s)
        track = self.tracks.setdefault(one.track_id, Track(one.track_id, one.class_index, *here, *here))
        track.num_missed += max(0, self.num_answered - 1 - self._seen_at.get(one.track_id, self.num_answered))
        track.last_frame, track.last_s = here
        track.num_frames += 1
        track.sum_score += one.score
        self._seen_at[one.track_id] = self.num_answered
