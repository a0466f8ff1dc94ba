"""The file that is stored of a picture with more to it than 8-bit RGB: its values and its conversion.

It is a TIFF of one uncompressed strip (TIFF 6.0), which any tool opens. Its bytes depend on the picture alone
and on no compressor's version, so the same picture is recognised when it comes again. It holds no names, no
coordinates and no display settings of the original, only its values, their orientation, and, as JSON in
ImageDescription, the conversion under which it was taken in.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final, NamedTuple

import numpy as np

from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from dataset.raw.raw_picture import RawPicture, refuse_large
from maskloop.digest import canonical_json
from maskloop.errors import PictureError

EXTENSION: Final = ".tif"
_HEADER: Final = b"II*\0\x08\0\0\0"
_ENTRY: Final = struct.Struct("<HHII")
_SOFTWARE: Final = b"maskloop raw picture\0"
_SHORT, _LONG, _ASCII = 3, 4, 2
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION = 256, 257, 258, 259, 262, 270
_OFFSET, _ORIENTATION, _NUM_BANDS, _ROWS_PER_STRIP, _NUM_BYTES = 273, 274, 277, 278, 279
_PLANAR, _SOFTWARE_TAG, _EXTRA, _KIND = 284, 305, 338, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_KINDS: Final = {"u": 1, "i": 2, "f": 3}
_MAX_ENTRIES: Final = 32
MAX_DIRECTORY_BYTES: Final = 2**12
"""Of everything before the values."""
_BYTES_OF: Final = {_SHORT: 2, _LONG: 4, _ASCII: 1}


class RawFile(NamedTuple):
    """What a stored file holds."""

    raw: RawPicture
    conversion: PictureConversion


def write_raw_file(raw: RawPicture, conversion: PictureConversion) -> bytes:
    """Return the file of a picture. The values' type has to be an integer or a float of at most 64 bits."""
    height, width, num_bands = raw.values.shape
    dtype = raw.values.dtype
    shown = np.ascontiguousarray(raw.values, dtype.newbyteorder("<"))
    is_rgb = num_bands == 3 and dtype.kind == "u" and not raw.is_white_zero
    photometric = _RGB if is_rgb else (_WHITE_IS_ZERO if raw.is_white_zero else _BLACK_IS_ZERO)
    tags: dict[int, tuple[int, Any]] = {
        _WIDTH: (_LONG, [width]),
        _HEIGHT: (_LONG, [height]),
        _BITS: (_SHORT, [8 * dtype.itemsize] * num_bands),
        _COMPRESSION: (_SHORT, [1]),
        _PHOTOMETRIC: (_SHORT, [photometric]),
        _OFFSET: (_LONG, [0]),  # set below
        _ORIENTATION: (_SHORT, [raw.orientation]),
        _NUM_BANDS: (_SHORT, [num_bands]),
        _ROWS_PER_STRIP: (_LONG, [height]),
        _NUM_BYTES: (_LONG, [shown.nbytes]),
        _PLANAR: (_SHORT, [1]),
        _SOFTWARE_TAG: (_ASCII, _SOFTWARE),
        _KIND: (_SHORT, [_KINDS[dtype.kind]] * num_bands),
    }
    if conversion != DEFAULT_CONVERSION:
        tags[_DESCRIPTION] = (_ASCII, canonical_json(conversion.to_json()).encode("ascii") + b"\0")
    if num_extra := num_bands - (3 if is_rgb else 1):
        tags[_EXTRA] = (_SHORT, [0] * num_extra)
    start = len(_pack_directory(tags))
    tags[_OFFSET] = (_LONG, [start])
    return b"".join((_pack_directory(tags), shown.data))


def read_raw_file(data: bytes, *, max_mpx: float) -> RawFile | None:
    """Read what `write_raw_file` wrote; None of any other file. Safe for hostile bytes.

    Raises:
        PictureError: if it is too large, or incomplete.
    """
    try:
        tags = _read_directory(data)
        if tags.get(_SOFTWARE_TAG) != _SOFTWARE or tags[_COMPRESSION] != [1]:
            return None
        (width,), (height,), (num_bands,) = tags[_WIDTH], tags[_HEIGHT], tags[_NUM_BANDS]
        (orientation,), (photometric,), (start,) = tags[_ORIENTATION], tags[_PHOTOMETRIC], tags[_OFFSET]
        kind = {number: kind for kind, number in _KINDS.items()}[tags[_KIND][0]]
        dtype = np.dtype(f"<{kind}{tags[_BITS][0] // 8}")
        stated = bytes(tags.get(_DESCRIPTION, b"{}\0"))[:-1]
        conversion = PictureConversion.from_json(json.loads(stated))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
        return None
    refuse_large(width, height, num_bands * dtype.itemsize, max_mpx=max_mpx)
    num_values = width * height * num_bands
    if not num_values or start + num_values * dtype.itemsize > len(data) or orientation not in range(1, 9):
        raise PictureError("the file is incomplete")
    values = np.frombuffer(data, dtype, num_values, start).reshape(height, width, num_bands)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    return RawFile(RawPicture(values, orientation, photometric == _WHITE_IS_ZERO), conversion)


def refuse_other_page(stored: PictureConversion, conversion: PictureConversion) -> None:
    """Refuse a stored file whose original had another page than the one that is read. Raises PictureError."""
    if conversion.page is not None and conversion.page != (stored.page or 1):
        raise PictureError(
            f"the file holds page {stored.page or 1} of its original, and page {conversion.page} is read "
            "(pictures.page)"
        )


def _pack_directory(tags: dict[int, tuple[int, Any]]) -> bytes:
    """Return header, directory and the values that do not fit into it; tags sorted, as TIFF asks."""
    beside_at = len(_HEADER) + 2 + _ENTRY.size * len(tags) + 4
    entries, beside = b"", b""
    for tag, (kind, content) in sorted(tags.items()):
        packed = content if kind == _ASCII else struct.pack(f"<{len(content)}{'HI'[kind == _LONG]}", *content)
        if len(packed) <= 4:
            entries += _ENTRY.pack(tag, kind, len(content), int.from_bytes(packed, "little"))
        else:
            entries += _ENTRY.pack(tag, kind, len(content), beside_at + len(beside))
            beside += packed + b"\0" * (len(packed) % 2)
    beside += b"\0" * (-(beside_at + len(beside)) % 8)  # the values begin at a multiple of their size
    return _HEADER + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + beside


def _read_directory(data: bytes) -> dict[int, Any]:
    """Return the entries of the first directory: bytes, or a list of numbers. Raises ValueError, KeyError."""
    if not data.startswith(_HEADER):
        raise ValueError("not such a file")
    (num_entries,) = struct.unpack_from("<H", data, len(_HEADER))
    if num_entries > _MAX_ENTRIES:
        raise ValueError("not such a file")
    tags: dict[int, Any] = {}
    for number in range(num_entries):
        at = len(_HEADER) + 2 + _ENTRY.size * number
        tag, kind, count, value = _ENTRY.unpack_from(data, at)
        num_bytes = _BYTES_OF[kind] * count
        begin = at + 8 if num_bytes <= 4 else value
        content = data[begin : begin + num_bytes]
        if len(content) != num_bytes:
            raise ValueError("the file is incomplete")
        tags[tag] = (
            content if kind == _ASCII else list(struct.unpack(f"<{count}{'HI'[kind == _LONG]}", content))
        )
    return tags
