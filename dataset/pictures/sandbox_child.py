"""The child process of `SandboxedDecoder`: reads pictures from its socket, puts pixels into shared memory."""

from __future__ import annotations

import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from dataset.pictures.child_process import READY, enter_limits, limited_cpu
from dataset.pictures.decoding import DecodedPicture, open_picture
from dataset.pictures.sandbox import ANSWER, AS_VALUES, REQUEST, UPRIGHT, refusal_bytes
from dataset.raw.conversion import PictureConversion
from maskloop.errors import PictureError
from maskloop.memory import keep_freed_memory


def main() -> None:
    """Serve until the parent closes the socket, which is the standard input.

    Arguments: most million px, memory in MiB, most frames, computing time for a picture in s, the shared
    memory's descriptor and size in bytes.
    """
    max_mpx, max_frames, cpu_s = float(sys.argv[1]), int(sys.argv[3]), float(sys.argv[4])
    descriptor, shared_bytes = int(sys.argv[5]), int(sys.argv[6])
    memory_bytes = int(sys.argv[2]) * 2**20 + shared_bytes
    enter_limits(memory_bytes)
    keep_freed_memory()
    shared = np.frombuffer(mmap.mmap(descriptor, shared_bytes), np.uint8)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as parent:
        parent.sendall(READY)
        while header := parent.recv(REQUEST.size, socket.MSG_WAITALL):
            length, how, is_shared, conversion_length = REQUEST.unpack(header)
            conversion = PictureConversion.from_json(json.loads(_receive(parent, conversion_length)))
            data = shared[:length].tobytes() if is_shared else _receive(parent, length)
            open_it = partial(
                open_picture,
                max_mpx=max_mpx,
                apply_orientation=how == UPRIGHT,
                max_frames=max_frames,
                as_values=how == AS_VALUES,
                conversion=conversion,
            )
            with limited_cpu(cpu_s):
                answer = _answer(data, shared, open_it)
            parent.sendall(answer)


def _receive(parent: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        count = parent.recv_into(rest)
        if count == 0:
            raise EOFError("the other side of the socket has gone")
        rest = rest[count:]
    return bytes(data)


def _answer(data: bytes, shared: np.ndarray, open_it: Callable[[bytes], DecodedPicture]) -> bytes:
    try:
        picture = open_it(data)
    except PictureError as error:
        reason = refusal_bytes(error)
        return ANSWER.pack(0, 0, 0, 0, 0, len(reason), 0) + reason
    height, width, _ = picture.pixels.shape
    num_pixel_bytes, stored = picture.pixels.size, picture.stored or b""
    shared[:num_pixel_bytes] = picture.pixels.reshape(-1)
    shared[num_pixel_bytes : num_pixel_bytes + len(stored)] = np.frombuffer(stored, np.uint8)
    num_frames = min(picture.num_frames, 2)  # one or several
    return ANSWER.pack(height, width, picture.orientation, picture.bits_used, num_frames, 0, len(stored))


if __name__ == "__main__":
    main()
