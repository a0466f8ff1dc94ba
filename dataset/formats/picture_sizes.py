"""The sizes of pictures whose labels do not tell them: from a file's header, else by decoding it.

Headers are read of JPEG (start of frame, EXIF in APP1), PNG (IHDR, eXIf), WebP (VP8, VP8L, VP8X, EXIF), BMP
and TIFF (tags 256, 257 and 274 of the first page).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from dataset.pictures.orientation import orient_size
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from maskloop.errors import PictureError
from maskloop.masks import MAX_AREA_PX

Bytes = bytes | mmap.mmap
_JPEG_MARKER: Final = re.compile(rb"\xff+([\x01-\xfe])")
_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_APP1, _JPEG_START_OF_SCAN = 0xE1, 0xDA
_EXIF: Final = b"Exif\0\0"
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*")
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_ORIENTATION = 256, 257, 274
_TIFF_SHORT: Final = 3
_MAX_TIFF_ENTRIES: Final = 512
_MAX_FILE_BYTES: Final = 256 * 2**20


@dataclass(frozen=True)
class PictureHeader:
    """What a file's header says.

    Attributes:
        height_px: Upright height, 1 or more.
        width_px: Upright width, 1 or more.
        orientation: EXIF orientation, 1 (upright) to 8.
    """

    height_px: int
    width_px: int
    orientation: int


def mask_decoder() -> SandboxedDecoder:
    """Return a decoder for pictures as large as masks may be; its process starts with the first picture."""
    return SandboxedDecoder(DecodingLimits(max_mpx=MAX_AREA_PX / 1e6))


def upright_size(path: Path, decoder: SandboxedDecoder) -> tuple[int, int]:
    """Return a picture's upright height and width in px.

    Raises:
        PictureError: if the file cannot be read or decoded.
        UnavailableError: if no process can be started to decode it.
    """
    try:
        header = read_header(path)
        if header:
            return header.height_px, header.width_px
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise PictureError("the picture's file is too large")
        height, width, _ = decoder.open(path.read_bytes()).pixels.shape
    except OSError as error:
        raise PictureError(f"the picture cannot be read: {error.strerror}") from error
    return height, width


def read_header(path: Path) -> PictureHeader | None:
    """Return the upright size of a picture file, or None if its header does not tell it.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file cannot be mapped
            return None
        with data:
            return parse_header(data)


def parse_header(data: Bytes) -> PictureHeader | None:
    r"""Return the upright size of a picture's bytes, or None if they do not tell it. Safe for hostile bytes.

    >>> parse_header(b"BM" + bytes(16) + (7).to_bytes(4, "little") + (5).to_bytes(4, "little"))
    PictureHeader(height_px=5, width_px=7, orientation=1)
    """
    start = data[:4]
    if start[:3] == b"\xff\xd8\xff":
        stored = _read_jpeg(data)
    elif start == b"\x89PNG":
        stored = _read_png(data)
    elif start == b"RIFF" and data[8:12] == b"WEBP":
        stored = _read_webp(data)
    elif start in _TIFF_STARTS:
        stored = _read_tiff(data)
    else:
        stored = _read_bmp(data) if start[:2] == b"BM" else (0, 0, 1)
    height, width, orientation = stored
    if height < 1 or width < 1:
        return None
    orientation = orientation if orientation in range(1, 9) else 1
    return PictureHeader(*orient_size(height, width, orientation), orientation)


def _read_jpeg(data: Bytes) -> tuple[int, int, int]:
    orientation, position = 1, 2
    while found := _JPEG_MARKER.match(data, position):
        marker, position = found[1][0], found.end()
        length = int.from_bytes(data[position : position + 2], "big")
        if marker in _START_OF_FRAME:
            height, width = (int.from_bytes(data[position + at : position + at + 2], "big") for at in (3, 5))
            return height, width, orientation
        if marker == _JPEG_START_OF_SCAN or length < 2:
            break
        if marker == _JPEG_APP1 and data[position + 2 : position + 8] == _EXIF:
            orientation = _read_tiff(data[position + 8 : position + length])[2]
        position += length
    return 0, 0, 1


def _read_png(data: Bytes) -> tuple[int, int, int]:
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if data[12:16] != b"IHDR":
        return 0, 0, 1
    exif = next((content for name, content in _png_parts(data) if name == b"eXIf"), b"")
    return height, width, _read_tiff(exif)[2]


def _png_parts(data: Bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and contents of the chunks; the pixels' own content is left out, for it is long."""
    position = 8
    while position + 12 <= len(data):
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        yield name, b"" if name == b"IDAT" else data[position + 8 : position + 8 + length]
        position += 12 + length


def _read_webp(data: Bytes) -> tuple[int, int, int]:
    height, width, orientation, position = 0, 0, 1, 12
    while position + 8 <= len(data):
        name, length = (
            data[position : position + 4],
            int.from_bytes(data[position + 4 : position + 8], "little"),
        )
        content = data[position + 8 : position + 8 + min(length, 2**16)]
        if name == b"VP8X" and len(content) >= 10:
            width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (4, 7))
        elif name == b"VP8L" and len(content) >= 5 and not height:
            bits = int.from_bytes(content[1:5], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif name == b"VP8 " and len(content) >= 10 and not height:
            width, height = (int.from_bytes(content[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        elif name == b"EXIF":
            orientation = _read_tiff(content.removeprefix(_EXIF))[2]
        position += 8 + length + length % 2
    return height, width, orientation


def _read_bmp(data: Bytes) -> tuple[int, int, int]:
    width, height = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
    return abs(height), width, 1


def _read_tiff(data: Bytes) -> tuple[int, int, int]:
    """Return height, width (0 where the first page does not tell them) and orientation."""
    if data[:4] not in _TIFF_STARTS:
        return 0, 0, 1
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"

    def number(at: int, length: int) -> int:
        return int.from_bytes(data[at : at + length], order)

    found: dict[int, int] = {}
    directory = number(4, 4)
    for entry in range(min(number(directory, 2), _MAX_TIFF_ENTRIES)):
        at = directory + 2 + 12 * entry
        found.setdefault(number(at, 2), number(at + 8, 2 if number(at + 2, 2) == _TIFF_SHORT else 4))
    return found.get(_TIFF_HEIGHT, 0), found.get(_TIFF_WIDTH, 0), found.get(_TIFF_ORIENTATION, 1)
