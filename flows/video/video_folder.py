"""The folder of a video run: what was asked, and what the model found in every finished shard of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flows.runs.kept import KeptInstance, pack, unpack
from flows.runs.run_folder import RunFolder


@dataclass(frozen=True)
class VideoRun:
    """What a run is. A folder holds the answers of one.

    Attributes:
        input: The video's path.
        input_digest: Sha256 of its bytes.
        height_px: Of its upright frames.
        width_px: Likewise.
        rotation_deg: By which they were turned to be upright, counterclockwise.
        rate: Frames a second, on average.
        num_frames_stated: What the file says; 0 if it does not.
        num_frames_expected: By that, or by its duration; 0 if nothing is known.
        codec: Of the file.
        version: The registered version that answers.
        weights_digest: Its weights.
        class_names: Its classes.
        thresholds: The score from which on an instance of each class is told.
        min_score: As it was asked for; None: the model's own threshold.
        shard_frames: Frames that are kept together.
        code_revision: The git revision of maskloop.
        schema_version: Of this file.
    """

    input: str
    input_digest: str
    height_px: int
    width_px: int
    rotation_deg: int
    rate: float
    num_frames_stated: int
    num_frames_expected: int
    codec: str
    version: str
    weights_digest: str
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...]
    min_score: float | None
    shard_frames: int
    code_revision: str
    schema_version: int = 1

    def differences(self, asked: VideoRun) -> list[str]:
        """Say what another run would do differently."""
        told = {
            "the video": (self.input_digest, asked.input_digest),
            "the model": (self.weights_digest, asked.weights_digest),
            "--min-score": (self.min_score, asked.min_score),
        }
        return [
            f"{words} ({mine} there, {theirs} asked)"
            for words, (mine, theirs) in told.items()
            if mine != theirs
        ]


class FrameResult(msgspec.Struct, frozen=True):
    """What was found in one frame.

    Attributes:
        number: The frame's, from 0.
        time_s: Since the first frame.
        instances: What was found, below the threshold too, best score first.
        confident: Which of them reach the threshold.
        error: Why there is no answer; empty if there is one.
        is_doubtful: The frame may be smeared: something before it was broken.
    """

    number: int
    time_s: float
    instances: tuple[KeptInstance, ...] = ()
    confident: tuple[bool, ...] = ()
    error: str = ""
    is_doubtful: bool = False


class FrameShard(msgspec.Struct, frozen=True):
    """The answers about successive frames.

    Attributes:
        number: From 0.
        frames: In order.
        losses: Time and reason of parts of the file of which no frame came.
        is_last: The video ends with it.
        last_sample_s: Time of the newest frame that became a production sample; None before the first.
        seconds: It took.
    """

    number: int
    frames: tuple[FrameResult, ...]
    losses: tuple[tuple[float, str], ...] = ()
    is_last: bool = False
    last_sample_s: float | None = None
    seconds: float = 0.0


class VideoFolder(RunFolder[VideoRun]):
    """The folder of a video run.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, VideoRun)

    def shard(self, number: int) -> FrameShard:
        """Return a finished shard. Raises IntegrityError."""
        file = self.result_file(number)
        return unpack(file.read_bytes(), FrameShard, where=str(file))

    def keep(self, shard: FrameShard) -> None:
        """Keep a shard. Raises StorageError."""
        self.finish(shard.number, pack(shard))

    def num_finished(self) -> int:
        """Return how many shards are finished, from the first on without a gap."""
        done = self.finished()
        return next(number for number in range(len(done) + 1) if number not in done)

    def is_complete(self) -> bool:
        """Tell whether every frame is answered."""
        num_finished = self.num_finished()
        return num_finished > 0 and self.shard(num_finished - 1).is_last

    def shards(self) -> Iterator[FrameShard]:
        """Yield the finished shards, in order."""
        for number in range(self.num_finished()):
            yield self.shard(number)

    def num_frames(self) -> int:
        """Return how many frames the finished shards hold."""
        return sum(len(shard.frames) for shard in self.shards())

    def frames(self) -> Iterator[FrameResult]:
        """Yield the frames of the finished shards, in order."""
        for shard in self.shards():
            yield from shard.frames
