"""The answers about a video as COCO or JSON lines, and as a video: complete or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from dataset.videos.frames import Frame, Video
from dataset.videos.writing import WriteFrame
from evaluation.instances import Detections
from evaluation.overlays import draw_overlay
from flows.runs.coco_file import describe_instance, write_coco_file
from flows.video.following import FollowedFrame
from flows.video.video_folder import VideoRun
from maskloop.files import written_atomically
from models.tracking.tracks import ToldFrame, ToldInstance

Writer = Callable[[IO[bytes], VideoRun, Iterable[FollowedFrame]], None]


def write_answers(path: Path, run: VideoRun, frames: Iterable[FollowedFrame], write: Writer) -> None:
    """Write the answers to a file, complete or not at all.

    Args:
        path: The file.
        run: What it is.
        frames: All of them; each is asked for once.
        write: Of `OUTPUTS`.

    Raises:
        StorageError: if it cannot be written.
    """
    with written_atomically(path) as beside, beside.open("wb") as file:
        write(file, run, frames)


def write_coco(file: IO[bytes], run: VideoRun, frames: Iterable[FollowedFrame]) -> None:
    """Write a COCO file in which each frame is a picture, and every instance has a ``track_id``."""
    name = Path(run.input).name
    size = {"width": run.width_px, "height": run.height_px}
    pictures = (
        (
            {"file_name": f"{name}#{frame.measured.number}", "video_id": 1, **size, **_describe_frame(frame)},
            (_annotate(one, run) for one in (frame.told.instances if frame.told else ())),
        )
        for frame in frames
    )
    write_coco_file(
        file,
        describe_video_run(run),
        run.class_names,
        pictures,
        {"videos": [{"id": 1, "name": name, **size}]},
    )


def write_json_lines(file: IO[bytes], run: VideoRun, frames: Iterable[FollowedFrame]) -> None:
    """Write one line for each frame; see docs/video.md."""
    for frame in frames:
        instances = [_tell(one, run) for one in frame.told.instances] if frame.told else []
        line = {**_describe_frame(frame), "instances": instances}
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def draw_frames(
    frames: Iterable[FollowedFrame], video: Video, run: VideoRun, write: WriteFrame
) -> Iterator[FollowedFrame]:
    """Yield the frames again, each drawn and written to a video; one without an answer is left out there."""
    pictures = (event for event in video.read() if isinstance(event, Frame))
    for frame in frames:
        picture = next(pictures, None)
        if picture is not None and picture.pixels is not None and frame.told is not None:
            write(_draw(picture.pixels, frame.told, run), picture.time_s)
        yield frame


def describe_video_run(run: VideoRun) -> dict[str, Any]:
    """Return which model answered, about what."""
    return {
        "description": "Answers of maskloop video",
        "video_sha256": run.input_digest,
        "rotation_deg": run.rotation_deg,
        "model_version": run.version,
        "weights_digest": run.weights_digest,
        "code_revision": run.code_revision,
    }


def _describe_frame(frame: FollowedFrame) -> dict[str, Any]:
    measured = frame.measured
    told: dict[str, Any] = {"frame": measured.number, "time_s": measured.time_s}
    if measured.error:
        told["not_answered"] = measured.error
    if measured.is_doubtful:
        told["doubtful"] = True
    return told


def _annotate(one: ToldInstance, run: VideoRun) -> dict[str, Any]:
    told = describe_instance(run.class_names[one.class_index], one.score, one.box_xyxy, one.mask)
    return told | {"track_id": one.track_id} | _say_measured(one)


def _tell(one: ToldInstance, run: VideoRun) -> dict[str, Any]:
    return {
        "track_id": one.track_id,
        "class_name": run.class_names[one.class_index],
        "score": round(one.score, 4),
        "box_xyxy": list(one.box_xyxy),
        "segmentation": one.mask.to_coco(),
    } | _say_measured(one)


def _say_measured(one: ToldInstance) -> dict[str, Any]:
    """Say what the model said: always its score, and its mask where smoothing changed it."""
    told: dict[str, Any] = {"measured_score": round(one.measured_score, 4)}
    if one.has_smoothed_mask:
        told["measured_segmentation"] = one.measured_mask.to_coco()
    if not one.is_confident:
        told["below_threshold"] = True
    return told


def _draw(pixels: np.ndarray, told: ToldFrame, run: VideoRun) -> np.ndarray:
    shown = told.instances
    found = Detections(
        run.height_px,
        run.width_px,
        np.array([one.box_xyxy for one in shown], np.float32).reshape(-1, 4),
        np.array([one.score for one in shown], np.float32),
        np.array([one.class_index for one in shown], np.int64),
        tuple(one.mask for one in shown),
    )
    labels = [
        f"#{one.track_id} {run.class_names[one.class_index]} {one.score:.2f}"
        f"{'' if one.is_confident else ' ?'}"
        for one in shown
    ]
    return draw_overlay(pixels, found, None, run.class_names, labels=labels)


OUTPUTS: Final[dict[str, tuple[str, Writer]]] = {
    "coco": (".coco.json", write_coco),
    "jsonl": (".jsonl", write_json_lines),
}
"""By name: the ending of the file, and what writes it."""
