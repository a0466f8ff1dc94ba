"""What is kept of an answer until the run is over: instances, and the bytes of a finished shard."""

from __future__ import annotations

import gzip
from typing import Any, TypeVar

import msgspec

from maskloop.errors import IntegrityError

_Kept = TypeVar("_Kept", bound=msgspec.Struct)


class KeptInstance(msgspec.Struct, frozen=True):
    """One instance, in px of the picture as its file stores it.

    Attributes:
        class_name: What it is.
        score: 0..1, four decimals.
        box_xyxy: Left, top, right, bottom, two decimals.
        segmentation: COCO RLE, ``size`` and ``counts``.
        left_px: First column of the mask; 0 for a mask of the whole picture's size.
        top_px: First row of the mask.
        margin_px: In a tile: from the box to the nearest border inside the picture; None if there is none.
    """

    class_name: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    segmentation: dict[str, Any]
    left_px: int = 0
    top_px: int = 0
    margin_px: float | None = None


def pack(result: msgspec.Struct) -> bytes:
    """Return the bytes of a result; equal results have equal bytes."""
    return gzip.compress(msgspec.json.encode(result), compresslevel=1, mtime=0)


def unpack(data: bytes, kind: type[_Kept], *, where: str = "") -> _Kept:
    """Return the result that was packed. Raises IntegrityError."""
    try:
        return msgspec.json.decode(gzip.decompress(data), type=kind)
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise IntegrityError(
            f"the answers of a shard cannot be read: {error}",
            where=where,
            hint="remove the file: the same command makes it again",
        ) from error
