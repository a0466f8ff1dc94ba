"""Whether a picture file tells where it was taken. All its bytes are searched, those behind the picture too.

Found are EXIF (a GPS directory of any TIFF block), XMP with the fields of IPTC in it, IPTC-IIM (Photoshop's
resource 0x0404), comments and PNG texts that name coordinates, and films that phones put behind a still. A
film can tell a place in too many ways to search for, so any film counts. Sources: EXIF 2.3 section 4.6, XMP
specification part 3 (extended XMP), IPTC-IIM 4.2 record 2, ISO/IEC 14496-12 section 4.3.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal

from dataset.pictures.containers import COMMENT, jpeg_segments, png_chunks

_WORDS: Final = (
    b"GPSLatitude", b"GPSLongitude", b"exif:GPS", b"geo:lat", b"geo:long",
    b":City", b":Country", b":State", b":Location", b":Sublocation", b":ProvinceState", b":ProvinceName",
    b":WorldRegion",
)  # fmt: skip
"""Names of XMP fields, with any prefix of the name space."""
_COORDINATES: Final = re.compile(
    rb"gps|latitude|longitude|location|geo[_ :-]?(tag|loc|pos|lat)", re.IGNORECASE
)
"""Names of free-text fields."""
_IPTC_BLOCK: Final = b"8BIM\x04\x04"
_IPTC_PLACE: Final = re.compile(rb"\x1c\x02[\x1a\x1b\x5a\x5c\x5f\x64\x65](?!\0\0)")
"""Location code and name, city, sublocation, province, country code and name, where not empty."""
_FILM: Final = re.compile(rb"\0\0[\0-\xff]{2}ftyp", re.DOTALL)
_TIFF: Final = re.compile(rb"II\*\0|MM\0\*")
_EXTENDED_XMP: Final = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENDED_XMP_HEADER_BYTES: Final = len(_EXTENDED_XMP) + 32 + 4 + 4
_GPS_DIRECTORY, _EXIF_DIRECTORY, _OTHER_DIRECTORIES = 0x8825, 0x8769, 0x014A
_MAX_TIFF_BLOCKS: Final = 1000
_MAX_DIRECTORIES: Final = 16
_MAX_TEXT_BYTES: Final = 2**24


def tells_place(data: bytes) -> bool:
    """Return whether a JPEG, PNG or WebP file tells a place, in any of the ways named above.

    Safe for hostile bytes: nothing is decoded, and what is unpacked is limited.
    """
    if any(map(_block_tells_place, (data, *_unpacked(data)))):
        return True
    return any(_COORDINATES.search(text) for text in _texts(data))


def _block_tells_place(block: bytes) -> bool:
    if any(word in block for word in _WORDS) or _FILM.search(block):
        return True
    iptc = block.find(_IPTC_BLOCK)
    if iptc >= 0 and _IPTC_PLACE.search(block, iptc):
        return True
    headers = islice(_TIFF.finditer(block), _MAX_TIFF_BLOCKS)
    return any(_has_gps(memoryview(block)[header.start() :]) for header in headers)


def _has_gps(tiff: memoryview) -> bool:
    order: Literal["little", "big"] = "little" if tiff[0] == ord("I") else "big"

    def number(at: int, length: int) -> int:
        return int.from_bytes(tiff[at : at + length], order)

    due, seen = [number(4, 4)], set[int]()
    while due and len(seen) < _MAX_DIRECTORIES:
        directory = due.pop()
        if directory in seen or directory + 2 > len(tiff):
            continue
        seen.add(directory)
        num_entries = number(directory, 2)
        for entry in range(directory + 2, min(directory + 2 + 12 * num_entries, len(tiff) - 11), 12):
            tag, value = number(entry, 2), number(entry + 8, 4)
            if tag == _GPS_DIRECTORY and number(value, 2) > 0:
                return True
            if tag in (_EXIF_DIRECTORY, _OTHER_DIRECTORIES):
                due.append(value)
        due.append(number(directory + 2 + 12 * num_entries, 4))
    return False


def _unpacked(data: bytes) -> Iterator[bytes]:
    """Yield what lies in pieces or compressed: extended XMP of a JPEG, texts of a PNG."""
    if data.startswith(b"\xff\xd8"):
        pieces = [
            payload[_EXTENDED_XMP_HEADER_BYTES:]
            for _, payload, _ in jpeg_segments(data)
            if payload.startswith(_EXTENDED_XMP)
        ]
        yield b"".join(pieces)
    for text in _texts(data):
        yield text
        yield _raw_profile(text)


def _texts(data: bytes) -> Iterator[bytes]:
    """Yield free texts: comments of a JPEG, texts of a PNG with their key words, decompressed."""
    if data.startswith(b"\xff\xd8"):
        yield from (payload for marker, payload, _ in jpeg_segments(data) if marker == COMMENT)
    elif data.startswith(b"\x89PNG"):
        for name, content in png_chunks(data):
            if name == b"tEXt":
                yield content
            elif name == b"zTXt":
                keyword, _, rest = content.partition(b"\0")
                yield keyword + b"\0" + _decompressed(rest[1:])
            elif name == b"iTXt":
                keyword, _, rest = content.partition(b"\0")
                _, _, text = rest[2:].split(b"\0", 2) if rest.count(b"\0", 2) >= 2 else (b"", b"", rest)
                yield keyword + b"\0" + (_decompressed(text) if rest[:1] == b"\1" else text)


def _raw_profile(text: bytes) -> bytes:
    r"""Return the bytes that ImageMagick's custom writes as hexadecimal digits into a PNG text.

    >>> _raw_profile(b"Raw profile type exif\0\nexif\n       4\n49492a00\n")
    b'II*\x00'
    """
    if not text.startswith(b"Raw profile type "):
        return b""
    digits = b"".join(text.split(b"\n", 3)[-1].split())
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""


def _decompressed(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MAX_TEXT_BYTES)
    except zlib.error:
        return b""
