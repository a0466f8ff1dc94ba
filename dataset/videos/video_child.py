"""The child process of `SandboxedVideo`: decodes one file, frame by frame, into shared memory."""

from __future__ import annotations

import math
import mmap
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from dataset.pictures.child_process import READY, enter_limits, limited_cpu
from dataset.pictures.sandbox import refusal_bytes
from dataset.raw.raw_picture import too_large
from dataset.videos.frames import VideoFacts
from dataset.videos.reading import (
    ANSWER,
    CORRUPT,
    CUT_OFF,
    END,
    FACTS,
    FRAME,
    KEY,
    LOST,
    REFUSED,
    REQUEST,
    facts_bytes,
)
from maskloop.errors import PictureError
from maskloop.memory import keep_freed_memory

_CONTAINERS: Final = "mov,matroska,avi,mpegts,mpeg,flv,ogg,asf,gif,mjpeg,h264,hevc,ivf,mxf"
"""Those that hold their own frames, as FFmpeg names them; playlists (hls, dash, concat) are none."""
_MAX_REASON_BYTES: Final = 1000


@dataclass(frozen=True)
class _Cut:
    """Something of which no frame came."""

    reason: str
    is_end: bool


def main() -> None:
    """Serve until the parent closes the socket, which is the standard input.

    Arguments: most million px, memory in MiB, computing time for a frame in s, the shared memory's descriptor
    and size in bytes, the file.
    """
    max_mpx, cpu_s = float(sys.argv[1]), float(sys.argv[3])
    descriptor, shared_bytes, path = int(sys.argv[4]), int(sys.argv[5]), Path(sys.argv[6])
    enter_limits(int(sys.argv[2]) * 2**20 + shared_bytes)
    keep_freed_memory()
    shared = np.frombuffer(mmap.mmap(descriptor, shared_bytes), np.uint8)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as parent, path.open("rb") as file:
        parent.sendall(READY)
        answers = _answers(file, max_mpx)
        wants_pixels = False
        while request := parent.recv(REQUEST.size, socket.MSG_WAITALL):
            (wants_pixels,) = REQUEST.unpack(request)
            with limited_cpu(cpu_s):
                answer = _pack(next(answers), shared, wants_pixels=bool(wants_pixels))
            parent.sendall(answer)


def _answers(file: Any, max_mpx: float) -> Iterator[VideoFacts | PictureError | av.VideoFrame | _Cut | None]:
    """Yield the facts, or why there are none, then every frame and loss; None for ever at the end."""
    try:
        with av.open(file, container_options={"format_whitelist": _CONTAINERS}, io_open=_refuse) as container:
            stream = _find_stream(container)
            events = _decode(container, stream)
            first = _first_frame(events, max_mpx)
            yield _describe(container, stream, first[-1])
            yield from chain(first, (_within(event, max_mpx) for event in events))
    except PictureError as error:
        yield error
    except Exception as error:  # noqa: BLE001 - a demuxer fed with hostile bytes may raise anything
        yield PictureError(
            f"the video cannot be opened: {_say(error)}",
            hint="MP4, MOV, MKV, WebM, AVI and MPEG-TS are read; an MP4 whose recording was cut off has no "
            "index and cannot be",
        )
    while True:
        yield None


def _find_stream(container: Any) -> Any:
    stream = container.streams.best("video")
    if stream is None:
        raise PictureError("there is no video in the file")
    stream.codec_context.thread_count = 1
    return stream


def _refuse(url: str, _flags: int, _options: dict[str, str]) -> Any:
    raise PermissionError(f"a video may not open {url}")


def _decode(container: Any, stream: Any) -> Iterator[av.VideoFrame | _Cut]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            yield _Cut(_say(error), is_end=True)
            return
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            yield _Cut(_say(error), is_end=False)
            continue
        yield from frames


def _first_frame(events: Iterator[av.VideoFrame | _Cut], max_mpx: float) -> list[Any]:
    """Return everything up to the first frame, that one included. Raises PictureError if there is none."""
    before: list[Any] = []
    for event in events:
        before.append(event)
        if isinstance(event, av.VideoFrame):
            if event.width * event.height > max_mpx * 1e6:
                raise too_large(f"{event.width} x {event.height} px", max_mpx)
            return before
    reasons = {event.reason for event in before}
    raise PictureError(f"no frame of the video can be decoded: {'; '.join(sorted(reasons)) or 'it is empty'}")


def _within(event: av.VideoFrame | _Cut, max_mpx: float) -> av.VideoFrame | _Cut:
    if isinstance(event, av.VideoFrame) and event.width * event.height > max_mpx * 1e6:
        return _Cut(str(too_large(f"{event.width} x {event.height} px", max_mpx)), is_end=False)
    return event


def _describe(container: Any, stream: Any, first: av.VideoFrame) -> VideoFacts:
    turns = _turns(first)
    height, width = (first.width, first.height) if turns % 2 else (first.height, first.width)
    duration_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
    if not duration_s and container.duration:
        duration_s = container.duration / av.time_base
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    return VideoFacts(
        height, width, 90 * turns, stream.frames, round(duration_s, 6), rate, stream.codec_context.name
    )


def _pack(
    event: VideoFacts | PictureError | av.VideoFrame | _Cut | None, shared: np.ndarray, *, wants_pixels: bool
) -> bytes:
    if isinstance(event, av.VideoFrame):
        return _pack_frame(event, shared, wants_pixels=wants_pixels)
    text = b""
    if isinstance(event, VideoFacts):
        kind, text = FACTS, facts_bytes(event)
    elif isinstance(event, PictureError):
        kind, text = REFUSED, refusal_bytes(event)
    elif isinstance(event, _Cut):
        kind, text = CUT_OFF if event.is_end else LOST, event.reason.encode()[:_MAX_REASON_BYTES]
    else:
        kind = END
    return ANSWER.pack(kind, 0, 0, math.nan, 0, len(text)) + text


def _pack_frame(frame: av.VideoFrame, shared: np.ndarray, *, wants_pixels: bool) -> bytes:
    turns = _turns(frame)
    height, width = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
    flags = CORRUPT * bool(frame.is_corrupt) | KEY * bool(frame.key_frame)
    if wants_pixels:
        upright = np.rot90(frame.to_ndarray(format="rgb24"), turns)
        shared[: upright.size].reshape(height, width, 3)[:] = upright
    stated_s = math.nan if frame.time is None else frame.time
    return ANSWER.pack(FRAME, height, width, stated_s, flags, 0)


def _turns(frame: av.VideoFrame) -> int:
    """Return how many quarter turns, counterclockwise, make a frame upright."""
    return round(frame.rotation / 90) % 4


def _say(error: Exception) -> str:
    """Return what FFmpeg said, without the number and the name of the file.

    >>> _say(ValueError("it is cut off"))
    'it is cut off'
    """
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return said[:1].lower() + said[1:]


if __name__ == "__main__":
    main()
