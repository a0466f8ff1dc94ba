"""The parts of a picture file, in order: JPEG segments, PNG chunks, WebP chunks. Nothing is decoded.

Each walk ends where the picture ends, so what a camera or phone has put behind it (a second still, a film) is
in no part. Sources: ISO/IEC 10918-1 annex B, PNG third edition section 5, WebP container specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

SCAN: Final = 0xDA
COMMENT: Final = 0xFE
_END_OF_IMAGE: Final = 0xD9
_MARKER: Final = re.compile(rb"\xff+([\x01-\xfe])")
"""Any number of 0xFF may fill the space before a marker (B.1.1.2)."""
_MARKER_AFTER_SCAN: Final = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
"""In a scan 0xFF00 is a stuffed byte, and 0xD0 to 0xD7 restart the decoder."""
_WITHOUT_PAYLOAD: Final = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})


class Segment(NamedTuple):
    """A JPEG segment.

    Attributes:
        marker: Its second byte, e.g. 0xE1 for APP1.
        payload: What follows the two bytes of the length.
        scan: The entropy-coded bytes behind a start of scan; empty for any other segment.
    """

    marker: int
    payload: bytes
    scan: bytes


class Chunk(NamedTuple):
    """A PNG or WebP chunk: its four-letter name, and its content without name, length and checksum."""

    name: bytes
    content: bytes


def jpeg_segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments between the start and the end of a JPEG's first image."""
    position = 2
    while found := _MARKER.search(data, position):
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return
        if marker in _WITHOUT_PAYLOAD:
            continue
        end = position + int.from_bytes(data[position : position + 2], "big")
        payload, scan = data[position + 2 : end], b""
        if marker == SCAN:
            behind = _MARKER_AFTER_SCAN.search(data, end)
            start, end = end, behind.start() if behind else len(data)
            scan = data[start:end]
        yield Segment(marker, payload, scan)
        position = end


def png_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG up to IEND, that one included."""
    position = 8
    while position + 12 <= len(data):
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        yield Chunk(name, data[position + 8 : position + 8 + length])
        if name == b"IEND":
            return
        position += 12 + length


def webp_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a WebP file, as far as its header says it reaches."""
    return riff_chunks(data[12 : 8 + int.from_bytes(data[4:8], "little")])


def riff_chunks(body: bytes) -> Iterator[Chunk]:
    """Yield the chunks that lie one behind the other in a part of a RIFF file."""
    position = 0
    while position + 8 <= len(body):
        length = int.from_bytes(body[position + 4 : position + 8], "little")
        yield Chunk(body[position : position + 4], body[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
