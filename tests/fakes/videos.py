"""Videos for tests: written without loss, so that a model of numbers or colours sees what was drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def write_video(
    file: Path,
    frames: Iterable[np.ndarray],
    *,
    codec: str = "ffv1",
    times_s: Sequence[float] | None = None,
    rotation_deg: int = 0,
    key_every: int = 10,
) -> Path:
    """Write frames, uint8 (H, W, 3), as a video with 25 frames a second, or at other times."""
    file.parent.mkdir(parents=True, exist_ok=True)
    options = {"movflags": "faststart"} if file.suffix == ".mp4" else {}
    with av.open(str(file), "w", options=options) as container:
        stream: Any = None
        for number, pixels in enumerate(frames):
            if stream is None:
                stream = container.add_stream(codec, rate=25)
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
                stream.gop_size = key_every
                stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
                if rotation_deg:
                    stream.set_display_rotation(rotation_deg)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            frame.pts = round(1000 * (times_s[number] if times_s else number / 25))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return file
