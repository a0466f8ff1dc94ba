"""What workers say about a shard, as it is kept."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Any

import msgspec

from maskloop.errors import IntegrityError


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


class UnitResult(msgspec.Struct, frozen=True):
    """The answer about one picture or tile.

    Attributes:
        name: The picture's.
        tile: The tile's number in a scene; None for a picture that was read whole.
        height_px: The picture's height as its file stores it; of a tile not told.
        width_px: Its width.
        num_tiles: How many passes of the model it took.
        instances: What was found.
        error: Why there is no answer; empty if there is one.
        is_picture: False if the file is no picture at all.
    """

    name: str
    tile: int | None = None
    height_px: int = 0
    width_px: int = 0
    num_tiles: int = 0
    instances: tuple[KeptInstance, ...] = ()
    error: str = ""
    is_picture: bool = True


class ShardResult(msgspec.Struct, frozen=True):
    """The answers about a shard, or about a part of one.

    Attributes:
        number: The shard's.
        units: In order.
        seconds: Of one worker, reading and decoding included.
        num_workers: That shared the machine.
    """

    number: int
    units: tuple[UnitResult, ...]
    seconds: float = 0.0
    num_workers: int = 1


def join_parts(parts: Sequence[ShardResult]) -> ShardResult:
    """Return the result of a shard that was answered in parts, in their order."""
    return ShardResult(
        parts[0].number,
        tuple(unit for part in parts for unit in part.units),
        sum(part.seconds for part in parts),
        max(part.num_workers for part in parts),
    )


def pack(result: ShardResult) -> bytes:
    """Return the bytes of a result; equal results have equal bytes."""
    return gzip.compress(msgspec.json.encode(result), compresslevel=1, mtime=0)


def unpack(data: bytes, *, where: str = "") -> ShardResult:
    """Return the result that was packed. Raises IntegrityError."""
    try:
        return msgspec.json.decode(gzip.decompress(data), type=ShardResult)
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise IntegrityError(
            f"the answers of a shard cannot be read: {error}",
            where=where,
            hint="remove the file: the same command makes it again",
        ) from error
