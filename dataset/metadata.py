"""Taking out what a picture file says about people and places, without touching its pixels.

JPEG's APP1 segments, PNG's text and eXIf chunks and WebP's EXIF and XMP chunks go; only the orientation is
written back, because it says which way is up. Sources: ISO/IEC 10918-1 annex B (JPEG markers), PNG third
edition section 5, WebP container specification, EXIF 2.3 (TIFF 6.0 layout).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

_PNG_METADATA: Final = (b"tEXt", b"zTXt", b"iTXt", b"eXIf")
_START_OF_SCAN: Final = 0xDA
_APP1: Final = 0xE1
_WEBP_METADATA_FLAGS: Final = 0b00001100


def without_metadata(data: bytes, *, orientation: int) -> bytes:
    """Return the same picture without EXIF, XMP and texts, keeping only its orientation (1-8).

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
    payload = b"Exif\0\0" + exif
    kept = [data[:2]]
    if exif:
        kept.append(struct.pack(">BBH", 0xFF, _APP1, len(payload) + 2) + payload)
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != _START_OF_SCAN:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position + 1] != _APP1:
            kept.append(data[position:end])
        position = end
    return b"".join(kept) + data[position:]


def _clean_png(data: bytes, exif: bytes) -> bytes:
    kept, position = [data[:8]], 8
    while position + 12 <= len(data):
        name = data[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if name not in _PNG_METADATA:
            kept.append(data[position:end])
        if name == b"IHDR" and exif:
            kept.append(struct.pack(">I", len(exif)) + b"eXIf" + exif + _crc(b"eXIf" + exif))
        position = end
    return b"".join(kept)


def _clean_webp(data: bytes, exif: bytes) -> bytes:
    kept, position = [], 12
    while position + 8 <= len(data):
        name, length = (
            data[position : position + 4],
            int.from_bytes(data[position + 4 : position + 8], "little"),
        )
        end = position + 8 + length + length % 2
        chunk = bytearray(data[position:end])
        if name == b"VP8X":
            chunk[8] = (chunk[8] & ~_WEBP_METADATA_FLAGS) | (0b1000 if exif else 0)
        if name not in (b"EXIF", b"XMP "):
            kept.append(bytes(chunk))
        position = end
    if exif:
        kept.append(b"EXIF" + struct.pack("<I", len(exif)) + exif)
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))
