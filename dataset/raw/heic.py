"""HEIC files, the photographs of phones, read with pi-heif: 8-bit RGB, upright as the file says itself."""

from __future__ import annotations

from typing import Final

import numpy as np

from dataset.raw.raw_picture import RawPicture, refuse_large, with_bands_last

_BRANDS: Final = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"})
_IMAGE_BRANDS: Final = frozenset({b"mif1", b"msf1"})
"""Of any coding; which one is told among the compatible brands."""
_LONGEST_BOX_BYTES: Final = 64


def is_heic(data: bytes) -> bool:
    """Tell a HEIC file by its brands (ISO/IEC 23008-12, annex B.4)."""
    if data[4:8] != b"ftyp":
        return False
    brand, length = data[8:12], min(int.from_bytes(data[:4], "big"), _LONGEST_BOX_BYTES)
    compatible = {data[at : at + 4] for at in range(16, length, 4)}
    return brand in _BRANDS or (brand in _IMAGE_BRANDS and bool(_BRANDS & compatible))


def read_heic(data: bytes, *, page: int | None, max_mpx: float) -> RawPicture:
    """Read the primary picture. See `dataset.raw.formats.Reader`. Transparency is composited over black."""
    import pi_heif

    image = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
    width, height = image.size
    refuse_large(width, height, 4, max_mpx=max_mpx)
    values = with_bands_last(np.array(image), (height, width))  # the file's own memory ends with it
    if values.shape[2] == 4:
        opaque = values[:, :, 3:].astype(np.uint16)
        values = (values[:, :, :3] * opaque // 255).astype(np.uint8)
    return RawPicture(values)
