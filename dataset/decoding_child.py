"""The child process of `SandboxedDecoder`: reads pictures from its input, writes pixels to its output."""

from __future__ import annotations

import os
import resource
import sys
from typing import IO

from dataset.decoding import ANSWER_HEADER, FACTS, REQUEST_HEADER, open_picture
from maskloop.errors import PictureError
from maskloop.memory import keep_freed_memory


def main() -> None:
    """Serve until the parent closes the pipe. Arguments: most million px, memory in MB, most frames."""
    max_mpx, memory_bytes = float(sys.argv[1]), int(sys.argv[2]) * 2**20
    max_frames = int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_freed_memory()
    requests = sys.stdin.buffer
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing a library prints may mix with answers
        while header := requests.read(REQUEST_HEADER.size):
            length, apply_orientation = REQUEST_HEADER.unpack(header)
            _answer(answers, _read_exactly(requests, length), max_mpx, bool(apply_orientation), max_frames)
            answers.flush()


def _read_exactly(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) != length:
        raise EOFError("the other side of the pipe has gone")
    return data


def _answer(
    answers: IO[bytes], data: bytes, max_mpx: float, apply_orientation: bool, max_frames: int
) -> None:
    try:
        picture = open_picture(
            data, max_mpx=max_mpx, apply_orientation=apply_orientation, max_frames=max_frames
        )
    except PictureError as error:
        reason = str(error).encode()
        answers.write(ANSWER_HEADER.pack(1, 0, 0, len(reason)) + reason)
        return
    height, width, _ = picture.pixels.shape
    facts = FACTS.pack(picture.extension.encode(), picture.orientation, picture.has_location)
    answers.write(ANSWER_HEADER.pack(0, height, width, len(facts) + picture.pixels.nbytes) + facts)
    answers.write(picture.pixels.tobytes())


if __name__ == "__main__":
    main()
