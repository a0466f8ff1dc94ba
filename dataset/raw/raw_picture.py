"""A picture as its file stores it, before its values become 8-bit RGB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maskloop.errors import PictureError

MAX_BYTES_PER_PX: Final = 16
"""Of all bands together: four of 32 bits, or eight of 16."""


@dataclass(frozen=True, eq=False)
class RawPicture:
    """The values of one picture.

    Attributes:
        values: (H, W, B), B bands of any integer or floating-point type.
        orientation: How they are stored, as EXIF and TIFF count: 1 (upright) to 8.
        is_white_zero: The lowest value is white, as on an X-ray film.
        declared_nodata: The value that the file itself says means that nothing was measured; None if it says
            nothing.
    """

    values: NDArray[Any]
    orientation: int = 1
    is_white_zero: bool = False
    declared_nodata: float | None = None


def refuse_large(width_px: int, height_px: int, bytes_per_px: float, *, max_mpx: float) -> None:
    """Refuse a picture for its size, which its header states. Raises PictureError."""
    if width_px * height_px <= 0:
        raise PictureError("the picture has no pixels")
    if width_px * height_px > max_mpx * 1e6:
        raise too_large(f"{width_px} x {height_px} px", max_mpx)
    if bytes_per_px > MAX_BYTES_PER_PX:
        raise PictureError(
            f"the picture has {bytes_per_px:g} bytes a pixel, more than the {MAX_BYTES_PER_PX} accepted",
            hint="save only the bands that are needed",
        )


def too_large(size: str, max_mpx: float) -> PictureError:
    """Return the error of a picture with too many pixels."""
    return PictureError(
        f"the picture has {size}, more than the {max_mpx:g} million accepted",
        hint="downscale it, or raise data.max_picture_mpx (100 at most)",
    )


def choose_page(num_pages: int, page: int | None, *, called: str) -> int:
    """Return the index of the page that is read.

    Raises:
        PictureError: if the file does not have it, or has several and none was chosen.
    """
    if page is None and num_pages == 1:
        return 0
    have = f"the file has {num_pages} {called}{'' if num_pages == 1 else 's'}"
    if page is None:
        raise PictureError(
            f"{have}, and which one is read was not stated",
            hint="set pictures.page in maskloop.toml, or save one page",
        )
    if page > num_pages:
        raise PictureError(f"{have}, and {called} {page} is read (pictures.page)")
    return page - 1


def with_bands_last(values: NDArray[Any], size_px: Sequence[int]) -> NDArray[Any]:
    """Return (H, W), (H, W, B) or (B, H, W) of any dtype as (H, W, B); else raise PictureError."""
    height, width = size_px
    if values.shape == (height, width):
        return values[:, :, np.newaxis]
    if values.ndim == 3 and values.shape[:2] == (height, width):
        return values
    if values.ndim == 3 and values.shape[1:] == (height, width):
        return np.moveaxis(values, 0, 2)
    raise PictureError(f"values of shape {values.shape} are no picture of {width} x {height} px")
