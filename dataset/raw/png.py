"""PNG files of 16 bits a value, all of them: Pillow reads only the upper byte of colours."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import ExifTags, Image

from dataset.raw.raw_picture import RawPicture, refuse_large
from maskloop.errors import PictureError

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_BIT_DEPTH_AT: Final = 24
_LOWER_BYTES: Final = "RGB;16L"
"""Read as if the lower byte came first, big-endian values give their lower byte for the upper one."""


def is_deep_png(data: bytes) -> bool:
    """Tell whether this is a PNG of 16 bits a value."""
    return data.startswith(_SIGNATURE) and data[_BIT_DEPTH_AT : _BIT_DEPTH_AT + 1] == b"\x10"


def read_deep_png(data: bytes, *, max_mpx: float) -> RawPicture:
    """Read a PNG of 16 bits, grey or RGB, as uint16 (H, W, 1 or 3).

    Raises:
        PictureError: if it is too large, or has transparency.
        Exception: whatever Pillow raises for a broken file.
    """
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        refuse_large(*image.size, 6, max_mpx=max_mpx)
        if image.has_transparency_data:
            raise PictureError(
                "transparency of 16 bits is not read under a value range", hint="save it without transparency"
            )
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        upper = np.array(image)
    if upper.ndim == 2:
        values = upper.astype(np.uint16)[:, :, np.newaxis]
    else:
        values = (upper.astype(np.uint16) << 8) | _read_lower_bytes(data)
    return RawPicture(values, orientation if orientation in range(1, 9) else 1)


def _read_lower_bytes(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.tile = [tile._replace(args=_LOWER_BYTES) for tile in image.tile]
        return np.array(image)
