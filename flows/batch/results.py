"""What workers say about a shard, as it is kept."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flows.runs.kept import KeptInstance


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
