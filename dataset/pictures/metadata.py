"""Taking out what a picture file says about people and places, without touching its pixels.

Only the parts that a decoder needs are written again, so everything else goes: EXIF, XMP, IPTC, comments,
texts, a maker's own segments, and whatever lies behind the picture. The orientation is written back, because
it says which way is up. `dataset.pictures.location` says whether anything of a place is left.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Final

from dataset.pictures.containers import COMMENT, Chunk, jpeg_segments, png_chunks, riff_chunks, webp_chunks

_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_APP_KEPT: Final = ((_APP0, b"JFIF\0"), (_APP2, b"ICC_PROFILE\0"), (_APP14, b"Adobe"))
_PNG_KEPT: Final = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP bKGD hIST pHYs sPLT tIME".split()
)
_WEBP_PIXELS: Final = frozenset({b"VP8 ", b"VP8L", b"ALPH"})
_WEBP_KEPT: Final = _WEBP_PIXELS | {b"VP8X", b"ICCP", b"ANIM", b"ANMF"}
_WEBP_METADATA_FLAGS: Final = 0b00001100
_WEBP_EXIF_FLAG: Final = 0b00001000
_FRAME_HEADER_BYTES: Final = 16


def without_metadata(data: bytes, *, orientation: int) -> bytes:
    """Return the same picture with nothing but its pixels, colour profile and orientation (1-8).

    Of a PNG that moves the first picture stays.

    Args:
        data: A JPEG, PNG or WebP file that decodes.
        orientation: Written back if it is not 1.
    """
    exif = _orientation_tiff(orientation) if orientation != 1 else b""
    if data.startswith(b"\xff\xd8"):
        return _clean_jpeg(data, exif)
    if data.startswith(b"\x89PNG"):
        return _clean_png(data, exif)
    return _clean_webp(data, exif)


def _orientation_tiff(orientation: int) -> bytes:
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _clean_jpeg(data: bytes, exif: bytes) -> bytes:
    kept = [b"\xff\xd8"]
    if exif:
        kept.append(_jpeg_segment(_APP1, b"Exif\0\0" + exif))
    for marker, payload, scan in jpeg_segments(data):
        if _is_needed(marker, payload):
            kept.append(_jpeg_segment(marker, payload) + scan)
    return b"".join(kept) + b"\xff\xd9"


def _is_needed(marker: int, payload: bytes) -> bool:
    if _APP0 <= marker <= _APP15:
        return any(marker == kept and payload.startswith(start) for kept, start in _APP_KEPT)
    return marker != COMMENT


def _jpeg_segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _clean_png(data: bytes, exif: bytes) -> bytes:
    kept = [data[:8]]
    for chunk in png_chunks(data):
        if chunk.name in _PNG_KEPT:
            kept.append(_png_chunk(chunk))
        if chunk.name == b"IHDR" and exif:
            kept.append(_png_chunk(Chunk(b"eXIf", exif)))
    return b"".join(kept)


def _png_chunk(chunk: Chunk) -> bytes:
    named = chunk.name + chunk.content
    return struct.pack(">I", len(chunk.content)) + named + struct.pack(">I", zlib.crc32(named))


def _clean_webp(data: bytes, exif: bytes) -> bytes:
    kept = [_clean_webp_chunk(chunk, bool(exif)) for chunk in webp_chunks(data) if chunk.name in _WEBP_KEPT]
    if exif:
        kept.append(Chunk(b"EXIF", exif))
    body = b"WEBP" + _riff(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _clean_webp_chunk(chunk: Chunk, has_exif: bool) -> Chunk:
    name, content = chunk
    if name == b"VP8X":
        flags = (content[0] & ~_WEBP_METADATA_FLAGS) | (_WEBP_EXIF_FLAG if has_exif else 0)
        return Chunk(name, bytes([flags]) + content[1:])
    if name == b"ANMF":
        inner = [part for part in riff_chunks(content[_FRAME_HEADER_BYTES:]) if part.name in _WEBP_PIXELS]
        return Chunk(name, content[:_FRAME_HEADER_BYTES] + _riff(inner))
    return chunk


def _riff(chunks: Iterable[Chunk]) -> bytes:
    return b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for name, content in chunks
    )
