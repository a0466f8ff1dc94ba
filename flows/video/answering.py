"""The first pass over a video: the model answers every frame, and what it found is kept shard by shard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice, takewhile
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.videos.frames import Frame, Loss, Video
from flows.runs.kept import KeptInstance
from flows.runs.reading_ahead import read_ahead
from flows.video.samples import FrameSamples
from flows.video.video_folder import FrameResult, FrameShard, VideoFolder, VideoRun
from maskloop.errors import PictureError
from maskloop.stopping import StopRequest
from models.answering.instance_json import MAX_INSTANCES, list_instances
from models.answering.prediction import Prediction
from models.ports import Predictor

_FRAMES_AT_ONCE: Final = 8
_LOW_SHARE: Final = 0.5
"""Instances from this share of their threshold on are kept: a track may hold them."""


def answer_video(
    video: Video,
    predictor: Predictor,
    folder: VideoFolder,
    run: VideoRun,
    samples: FrameSamples,
    progress: Callable[[int, int], None],
    stop: StopRequest,
) -> None:
    """Answer every frame that no finished shard holds; each shard is kept as soon as it is complete.

    Args:
        video: Open.
        predictor: The model of the run.
        folder: Of the run.
        run: What it is.
        samples: Which frames become production samples.
        progress: Called with frames done and frames in all, as far as that is known.
        stop: Looked at after every few frames.

    Raises:
        StoppedError: if it was asked to stop.
        StorageError: if the disk is full; what is finished is kept.
    """
    shards = [*folder.shards()]
    first = sum(len(shard.frames) for shard in shards)
    if shards:
        samples.go_on_from(shards[-1].last_sample_s)
    writer = _ShardWriter(folder, run.shard_frames, len(shards), samples)
    num_done, total = first, run.num_frames_expected
    progress(num_done, max(total, num_done))
    events = _without_passed(video.read(first), first)
    with closing(read_ahead(partial(_take, events) for _ in count())) as groups:
        for group in takewhile(bool, groups):
            for event in _answer(group, predictor, run, samples):
                if isinstance(event, Loss):
                    writer.note(event)
                else:
                    writer.add(event)
                    num_done += 1
            progress(num_done, max(total, num_done))
            if stop.is_made():
                raise stop.make_error(f"{num_done} of {max(total, num_done)} frames are answered")
    writer.end()


def _take(events: Iterator[Frame | Loss]) -> list[Frame | Loss]:
    return [*islice(events, _FRAMES_AT_ONCE)]


def _without_passed(events: Iterable[Frame | Loss], first: int) -> Iterator[Frame | Loss]:
    """Yield what finished shards do not hold: a shard ends where the first frame of the next one comes."""
    num_frames = 0
    for event in events:
        if isinstance(event, Frame):
            num_frames += 1
            if event.number >= first:
                yield event
        elif num_frames > first or not first:
            yield event


@dataclass
class _ShardWriter:
    """Gathers answers, and keeps each shard once it is complete."""

    folder: VideoFolder
    shard_frames: int
    number: int
    samples: FrameSamples
    frames: list[FrameResult] = field(default_factory=list)
    losses: list[tuple[float, str]] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def note(self, loss: Loss) -> None:
        self.losses.append((loss.after_s, loss.reason))

    def add(self, frame: FrameResult) -> None:
        if len(self.frames) == self.shard_frames:
            self._keep(is_last=False)
        self.frames.append(frame)

    def end(self) -> None:
        self._keep(is_last=True)

    def _keep(self, *, is_last: bool) -> None:
        now = time.perf_counter()
        self.folder.keep(
            FrameShard(
                self.number,
                tuple(self.frames),
                tuple(self.losses),
                is_last,
                self.samples.last_s,
                round(now - self.started, 3),
            )
        )
        self.number, self.frames, self.losses, self.started = self.number + 1, [], [], now


def _answer(
    events: Iterable[Frame | Loss], predictor: Predictor, run: VideoRun, samples: FrameSamples
) -> Iterator[FrameResult | Loss]:
    """Yield the answer to each frame, in order; those that become samples are asked about by themselves."""
    waiting: list[Frame | Loss] = []
    for event in events:
        if isinstance(event, Frame) and event.pixels is not None and samples.is_due(event):
            yield from _answer_group(waiting, predictor, run)
            waiting = []
            yield _answer_sample(event, event.pixels, predictor, run, samples)
        else:
            waiting.append(event)
    yield from _answer_group(waiting, predictor, run)


def _answer_sample(
    frame: Frame, pixels: NDArray[np.uint8], predictor: Predictor, run: VideoRun, samples: FrameSamples
) -> FrameResult:
    """Answer a frame as `maskloop predict` does, with everything that the model found, and log it."""
    try:
        (prediction,) = predictor.predict([pixels])
    except PictureError as error:
        return FrameResult(frame.number, frame.time_s, error=str(error), is_doubtful=frame.is_doubtful)
    samples.log(frame, pixels, prediction)
    return _tell(frame, prediction, run)


def _answer_group(
    events: Sequence[Frame | Loss], predictor: Predictor, run: VideoRun
) -> Iterator[FrameResult | Loss]:
    pixels = [event.pixels for event in events if isinstance(event, Frame) and event.pixels is not None]
    refusal = ""
    predictions: Iterator[Prediction] = iter(())
    try:
        lowest = _LOW_SHARE * min(run.thresholds)
        predictions = iter(predictor.predict(pixels, min_score=lowest) if pixels else [])
    except PictureError as error:  # of the size, which all of them share
        refusal = str(error)
    for event in events:
        if isinstance(event, Loss):
            yield event
        elif event.pixels is None or refusal:
            yield FrameResult(
                event.number, event.time_s, error=event.error or refusal, is_doubtful=event.is_doubtful
            )
        else:
            yield _tell(event, next(predictions), run)


def _tell(frame: Frame, prediction: Prediction, run: VideoRun) -> FrameResult:
    found = prediction.detections
    low = tuple(_LOW_SHARE * threshold for threshold in run.thresholds)
    told = list_instances(found, run.class_names, orientation=1, threshold=low)
    confident = found.select(found.reach(low)).reach(run.thresholds)[:MAX_INSTANCES]
    return FrameResult(
        frame.number,
        frame.time_s,
        tuple(KeptInstance(one.class_name, one.score, one.box_xyxy, one.mask.to_coco()) for one in told),
        tuple(confident.tolist()),
        is_doubtful=frame.is_doubtful,
    )
