"""Videos decoded in a child process that may die: one frame at a time comes in shared memory.

FFmpeg opens whatever a file tells it to. The child reads only containers that hold their own frames, so that
a playlist cannot make it open other files or addresses (`video_child`). A child that dies is replaced once;
if the next one dies at the same place, the video ends there.
"""

from __future__ import annotations

import json
import math
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np

from dataset.pictures.child_process import ChildFailedError, ChildProcess, receive, send
from dataset.pictures.sandbox import DecodingLimits, to_refusal
from dataset.videos.frames import Frame, FrameClock, Loss, VideoFacts
from maskloop.errors import ConfigurationError, NotFoundError, PictureError, UnavailableError

REQUEST: Final = struct.Struct(">B")
"""To the child: whether the pixels of the next frame are wanted."""
ANSWER: Final = struct.Struct(">BIIdBI")
"""From the child: what it is, height and width of the frame in px, its timestamp in s (NaN if it has none),
its `CORRUPT` and `KEY` bits, and the number of bytes that follow: facts as JSON, or a reason."""
FACTS, FRAME, LOST, CUT_OFF, END, REFUSED = range(6)
CORRUPT, KEY = 1, 2
_BROKEN: Final = "the frame is damaged"


@dataclass(frozen=True)
class _Said:
    """One answer of the child; ``text`` is what followed, ``pixels`` a copy."""

    kind: int
    height_px: int
    width_px: int
    time_s: float
    flags: int
    text: bytes = b""
    pixels: np.ndarray | None = None


class SandboxedVideo:
    """A video that is decoded in a child process with limited memory and time: `dataset.videos.frames.Video`.

    Args:
        path: The file.
        limits: What a child may use for one frame.

    Raises:
        ConfigurationError: if PyAV is not installed.
        NotFoundError: if there is no such file.
        PictureError: if it is no video, or cannot be opened.
        UnavailableError: if no child can be started, or it does not answer in time.
    """

    def __init__(self, path: Path, limits: DecodingLimits) -> None:
        if find_spec("av") is None:
            raise ConfigurationError(
                "videos need the package av (PyAV), which is not installed",
                hint="install maskloop with its extra: pip install 'maskloop[video]'",
            )
        if not path.is_file():
            raise NotFoundError("there is no such file", where=str(path))
        self._path, self._limits = path.absolute(), limits
        self._child: VideoChild | None = None
        self._is_at_start = False
        try:
            self._facts = self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SandboxedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def facts(self) -> VideoFacts:
        """What it says of itself."""
        return self._facts

    def close(self) -> None:
        """Stop the child."""
        child, self._child = self._child, None
        if child:
            child.stop()

    def read(self, first: int = 0) -> Iterator[Frame | Loss]:
        """See `dataset.videos.frames.Video`."""
        clock, number, is_doubtful, last_s = FrameClock(self._facts.rate), 0, False, 0.0
        size = (self._facts.height_px, self._facts.width_px)
        for said in self._answers(first):
            if said.kind in (LOST, CUT_OFF):
                is_doubtful = True
                yield Loss(last_s, said.text.decode(errors="replace"), is_end=said.kind == CUT_OFF)
                continue
            last_s = clock.tell(None if math.isnan(said.time_s) else said.time_s)
            is_corrupt = bool(said.flags & CORRUPT)
            is_doubtful = is_corrupt or (is_doubtful and not said.flags & KEY)
            error = _BROKEN if is_corrupt else _other_size(size, (said.height_px, said.width_px))
            yield Frame(number, last_s, None if error else said.pixels, error, is_doubtful)
            number += 1

    def _open(self) -> VideoFacts:
        self.close()
        self._child = VideoChild(self._limits, self._path)
        try:
            said = self._ask(wants_pixels=False)
        except ChildFailedError as failure:
            raise _cannot_open(failure, self._path) from failure
        if said.kind == REFUSED:
            refusal = to_refusal(said.text)
            raise PictureError(refusal.headline, where=str(self._path), hint=refusal.hint)
        self._is_at_start = True
        return VideoFacts(**json.loads(said.text))

    def _answers(self, first: int) -> Iterator[_Said]:
        """Yield frames and losses; a child that dies is replaced, and what was told already passed over."""
        num_told, num_frames, died_at = 0, 0, -1
        if not self._is_at_start:
            self._open()
        while True:
            try:
                for place, said in enumerate(self._listen(num_told, num_frames, first)):
                    if place >= num_told:
                        num_told, num_frames = num_told + 1, num_frames + (said.kind == FRAME)
                        yield said
                return
            except ChildFailedError as failure:
                if died_at == num_told:
                    yield _Said(CUT_OFF, 0, 0, math.nan, 0, _name(failure).encode())
                    return
                died_at = num_told
                self._open()

    def _listen(self, num_passed: int, num_frames_passed: int, first: int) -> Iterator[_Said]:
        """Yield the answers of one child. Raises ChildFailedError."""
        place = num_frames = 0
        self._is_at_start = False
        while True:
            is_new = place >= num_passed
            said = self._ask(wants_pixels=is_new and num_frames >= max(first, num_frames_passed))
            if said.kind == END:
                return
            place, num_frames = place + 1, num_frames + (said.kind == FRAME)
            yield said
            if said.kind == CUT_OFF:
                return

    def _ask(self, *, wants_pixels: bool) -> _Said:
        child = self._child
        if child is None:
            raise ChildFailedError(exceeded_cpu=False, timed_out=False)
        deadline_s = time.monotonic() + self._limits.timeout_s
        try:
            send(child.socket, REQUEST.pack(wants_pixels), deadline_s)
            *fields, length = ANSWER.unpack(receive(child.socket, ANSWER.size, deadline_s))
            kind, height_px, width_px, time_s, flags = fields
            text = bytes(receive(child.socket, length, deadline_s))
            said = _Said(kind, height_px, width_px, time_s, flags, text)
            if not wants_pixels or said.kind != FRAME:
                return said
            return replace(said, pixels=child.take(said.height_px, said.width_px))
        except (OSError, EOFError) as error:
            self._child = None
            raise child.failed(error) from error


class VideoChild(ChildProcess):
    """A child process with one video open. Raises UnavailableError if it does not get ready."""

    module = "dataset.videos.video_child"

    def __init__(self, limits: DecodingLimits, path: Path) -> None:
        told = (limits.max_mpx, limits.memory_mb, limits.cpu_s)
        super().__init__(told, 3 * int(limits.max_mpx * 1e6), [str(path)])

    def take(self, height_px: int, width_px: int) -> np.ndarray:
        """Copy a frame out of the shared memory, uint8 (H, W, 3). Raises EOFError if it cannot be there."""
        num_bytes = 3 * height_px * width_px
        if not 0 < num_bytes <= len(self._memory):
            raise EOFError("the child says what cannot be")
        shared = np.frombuffer(self._memory, np.uint8, num_bytes)
        return shared.reshape(height_px, width_px, 3).copy()


def facts_bytes(facts: VideoFacts) -> bytes:
    """Return what the child sends about a file."""
    return json.dumps(asdict(facts)).encode()


def _other_size(stated: tuple[int, int], found: tuple[int, int]) -> str:
    if stated == found:
        return ""
    return f"the frame has {found[1]} x {found[0]} px, the video {stated[1]} x {stated[0]}"


def _name(failure: ChildFailedError) -> str:
    if failure.exceeded_cpu:
        return "decoding the next frame took too much computing time, twice"
    return "the decoder did not answer, twice" if failure.timed_out else "the decoder crashed, twice"


def _cannot_open(failure: ChildFailedError, path: Path) -> PictureError | UnavailableError:
    if failure.timed_out:
        return UnavailableError(
            "opening the video was not over in time", where=str(path), hint="the machine may be busy"
        )
    return PictureError("opening the video crashed the decoder", where=str(path))
