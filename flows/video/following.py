"""The second pass, without the model: instances are followed through the kept answers and smoothed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.instances import Detections
from flows.runs.kept import KeptInstance
from flows.video.video_folder import FrameResult, VideoFolder, VideoRun
from maskloop.masks import rle_from_coco
from models.tracking.smoothing import smooth_tracks
from models.tracking.tracks import ToldFrame, TrackedFrame, Tracker


@dataclass(frozen=True)
class FollowedFrame:
    """One frame as it is told.

    Attributes:
        measured: What the model found; its error says why there is no answer.
        told: What is told of it; None if there is no answer.
    """

    measured: FrameResult
    told: ToldFrame | None


def follow_frames(
    folder: VideoFolder, run: VideoRun, tracker: Tracker, half_window: int
) -> Iterator[FollowedFrame]:
    """Yield every frame of a finished run, in order; memory holds the frames that smoothing looks at.

    Args:
        folder: Of the run.
        run: What it is.
        tracker: That has followed nothing yet.
        half_window: Frames on either side that take part in smoothing.
    """
    reaches: Callable[[int, float], bool] = lambda index, score: score >= run.thresholds[index]  # noqa: E731
    told = smooth_tracks(_track(folder.frames(), run, tracker), half_window=half_window, reaches=reaches)
    for measured in folder.frames():
        yield FollowedFrame(measured, None if measured.error else next(told))


def _track(frames: Iterable[FrameResult], run: VideoRun, tracker: Tracker) -> Iterator[TrackedFrame]:
    index_of = {name: index for index, name in enumerate(run.class_names)}
    for frame in frames:
        if frame.error:
            continue
        found = _read_instances(frame.instances, index_of, run.height_px, run.width_px)
        is_confident = np.array(frame.confident, dtype=bool)
        track_ids = tracker.follow(frame.time_s, found, is_confident)
        yield TrackedFrame(
            frame.number, frame.time_s, found, is_confident, track_ids, is_doubtful=frame.is_doubtful
        )


def _read_instances(
    instances: Sequence[KeptInstance], index_of: dict[str, int], height_px: int, width_px: int
) -> Detections:
    return Detections(
        height_px,
        width_px,
        np.array([one.box_xyxy for one in instances], np.float32).reshape(-1, 4),
        np.array([one.score for one in instances], np.float32),
        np.array([index_of[one.class_name] for one in instances], np.int64),
        tuple(rle_from_coco(one.segmentation, height_px, width_px) for one in instances),
    )
