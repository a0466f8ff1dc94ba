"""Which tiles a large picture is cut into. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskloop.errors import DataError


@dataclass(frozen=True, slots=True, order=True)
class TileBox:
    """A rectangle of a picture's pixels.

    Attributes:
        top_px: Its first row.
        left_px: Its first column.
        height_px: Its number of rows.
        width_px: Its number of columns.
    """

    top_px: int
    left_px: int
    height_px: int
    width_px: int

    @property
    def bottom_px(self) -> int:
        """The row after its last."""
        return self.top_px + self.height_px

    @property
    def right_px(self) -> int:
        """The column after its last."""
        return self.left_px + self.width_px

    def intersect(self, other: TileBox) -> TileBox | None:
        """Return what both cover, or None.

        >>> TileBox(0, 0, 4, 6).intersect(TileBox(0, 4, 4, 6))
        TileBox(top_px=0, left_px=4, height_px=4, width_px=2)
        """
        top, left = max(self.top_px, other.top_px), max(self.left_px, other.left_px)
        bottom, right = min(self.bottom_px, other.bottom_px), min(self.right_px, other.right_px)
        return TileBox(top, left, bottom - top, right - left) if top < bottom and left < right else None


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Overlapping tiles of one size that cover a picture, numbered row by row from 0.

    Along each side the tiles begin ``tile_px - overlap_px`` apart, and the last one ends with the picture. A
    picture that is no larger than a tile is one tile of its own size.

    Attributes:
        height_px: The picture's height, 1 or more.
        width_px: Its width, 1 or more.
        tile_px: Side of a tile.
        overlap_px: What two neighbours share at least.

    Raises:
        DataError: if the overlap is not smaller than the tile.
    """

    height_px: int
    width_px: int
    tile_px: int
    overlap_px: int

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_px < self.tile_px:
            raise DataError("the overlap must be smaller than the tile")

    @property
    def num_rows(self) -> int:
        """How many rows of tiles there are."""
        return self._count(self.height_px)

    @property
    def num_columns(self) -> int:
        """How many tiles a row has."""
        return self._count(self.width_px)

    @property
    def num_tiles(self) -> int:
        """How many tiles there are."""
        return self.num_rows * self.num_columns

    def tile(self, number: int) -> TileBox:
        """Return one tile.

        >>> TileGrid(10, 25, tile_px=10, overlap_px=2).tile(2)
        TileBox(top_px=0, left_px=15, height_px=10, width_px=10)
        """
        row, column = divmod(number, self.num_columns)
        return TileBox(
            self._start(row, self.height_px),
            self._start(column, self.width_px),
            min(self.tile_px, self.height_px),
            min(self.tile_px, self.width_px),
        )

    def tiles(self) -> Iterator[TileBox]:
        """Yield every tile, by number."""
        return map(self.tile, range(self.num_tiles))

    def _count(self, side_px: int) -> int:
        stride = self.tile_px - self.overlap_px
        return 1 if side_px <= self.tile_px else 1 + -(-(side_px - self.tile_px) // stride)

    def _start(self, number: int, side_px: int) -> int:
        return max(0, min(number * (self.tile_px - self.overlap_px), side_px - self.tile_px))


def cut_pixels(pixels: NDArray[np.uint8], box: TileBox) -> NDArray[np.uint8]:
    """Return the pixels of a rectangle of a picture, uint8 (H, W, 3), in memory of their own."""
    return pixels[box.top_px : box.bottom_px, box.left_px : box.right_px].copy()
