"""Pictures inside an HTML page, as data URLs of bounded size: such a page needs no other file."""

from __future__ import annotations

import base64
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PICTURE_BYTES: Final = 72_000
"""Of one picture on a page: with eighteen of them the page stays below 2 MB."""
_JPEG_QUALITIES: Final = (75, 60, 45, 30)


def embed_picture(pixels: NDArray[np.uint8], *, max_side_px: int, max_bytes: int = MAX_PICTURE_BYTES) -> str:
    """Return a picture, uint8 (H, W, 3) RGB, as the data URL of a JPEG; a large one is scaled down.

    Args:
        pixels: The picture.
        max_side_px: Of the longer side.
        max_bytes: Of the JPEG; what would need more is made smaller still.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((max_side_px, max_side_px))
    while not (data := _encode_below(image, max_bytes)):
        image = image.reduce(2)
    return embed_jpeg(data)


def embed_jpeg(data: bytes) -> str:
    """Return the bytes of a JPEG file as a data URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def _encode_below(image: Image.Image, max_bytes: int) -> bytes:
    """Encode with as much quality as fits; empty if even the least does not."""
    for quality in _JPEG_QUALITIES:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, subsampling=0)
        if file.tell() <= max_bytes:
            return file.getvalue()
    return b""
