"""Videos that are written: H.264 in MP4, complete or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maskloop.files import written_atomically

_TICKS_PER_S: Final = 90_000
_ENCODERS: Final = (
    ("libx264", {"crf": "23", "preset": "veryfast", "threads": "1"}),
    ("mpeg4", {"qscale": "4", "threads": "1"}),
)
"""The first that this build of FFmpeg has; builds under the LGPL have no libx264."""
WriteFrame = Callable[[NDArray[np.uint8], float], None]


@contextmanager
def written_video(path: Path, *, rate: float) -> Iterator[WriteFrame]:
    """Give what takes frames; the file is there once the body has ended without an error.

    A frame is uint8 (H, W, 3), RGB, all of one size, with its time in s, which grows; an odd side loses its
    last row or column, which H.264 cannot hold. Equal frames make equal bytes.

    Args:
        path: Where the file goes, an MP4.
        rate: Frames a second, about.

    Raises:
        StorageError: if it cannot be written.
    """
    import av

    with (
        written_atomically(path) as beside,
        beside.open("wb") as file,
        av.open(file, "w", format="mp4", options={"movflags": "faststart"}) as container,
    ):
        stream: Any = None

        def write(pixels: NDArray[np.uint8], time_s: float) -> None:
            nonlocal stream
            height, width = (side - side % 2 for side in pixels.shape[:2])
            if stream is None:
                stream = _add_stream(container, av.codecs_available, height, width, rate)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), "rgb24")
            frame.pts, frame.time_base = round(time_s * _TICKS_PER_S), Fraction(1, _TICKS_PER_S)
            container.mux(stream.encode(frame))

        yield write
        if stream is not None:
            container.mux(stream.encode(None))


def _add_stream(container: Any, encoders: Collection[str], height_px: int, width_px: int, rate: float) -> Any:
    name, options = next(one for one in _ENCODERS if one[0] in encoders)
    stream = container.add_stream(name, rate=Fraction(rate).limit_denominator(1001), options=dict(options))
    stream.height, stream.width, stream.pix_fmt = height_px, width_px, "yuv420p"
    stream.codec_context.time_base = stream.time_base = Fraction(1, _TICKS_PER_S)
    return stream
