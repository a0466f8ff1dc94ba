"""How a run is divided: stretches of tiles and pictures, gathered in shards. Pure.

A shard is answered, and kept, as a whole. Its size says how much is done again after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

from dataset.raw.geo_reference import GeoReference
from models.answering.tile_grid import TileBox, TileGrid

_MAX_STRETCH_PX: Final = 32_000_000
"""Of the tiles that are read at once, as long as it is more than one."""


class Scene(msgspec.Struct, frozen=True):
    """A picture that is read in windows, and how it is cut.

    Attributes:
        height_px: Its height.
        width_px: Its width.
        tile_px: Side of its tiles.
        overlap_px: What two neighbours share at least.
        geo: Where it lies on Earth, if its file says so.
    """

    height_px: int
    width_px: int
    tile_px: int
    overlap_px: int
    geo: GeoReference | None = None

    @property
    def grid(self) -> TileGrid:
        """Its tiles."""
        return TileGrid(self.height_px, self.width_px, self.tile_px, self.overlap_px)


class Stretch(msgspec.Struct, frozen=True):
    """One picture, or neighbouring tiles of one row of a scene.

    Attributes:
        name: The picture's.
        scene: How it is cut; None for a picture that is read whole.
        first_tile: Number of the first tile.
        num_tiles: How many there are.
    """

    name: str
    scene: Scene | None = None
    first_tile: int = 0
    num_tiles: int = 1

    def tiles(self) -> list[TileBox]:
        """Return its tiles' places; none for a picture that is read whole."""
        numbers = range(self.first_tile, self.first_tile + self.num_tiles)
        return [self.scene.grid.tile(number) for number in numbers] if self.scene else []

    def units(self) -> list[Stretch]:
        """Return the stretches of one picture or tile each that it is made of."""
        numbers = range(self.first_tile, self.first_tile + self.num_tiles)
        return [Stretch(self.name, self.scene, number, 1) for number in numbers]


class Shard(msgspec.Struct, frozen=True):
    """What is answered and kept as a whole.

    Attributes:
        number: Counted from 0.
        stretches: What it holds, in order.
    """

    number: int
    stretches: tuple[Stretch, ...]

    @property
    def num_units(self) -> int:
        """Its pictures and tiles."""
        return sum(stretch.num_tiles for stretch in self.stretches)


def plan_shards(pictures: Iterable[tuple[str, Scene | None]], *, units_per_shard: int) -> Iterator[Shard]:
    """Divide a run; every picture and every tile of a scene is in exactly one shard, in order.

    Args:
        pictures: The name of each, and how it is cut if it is a scene.
        units_per_shard: Pictures and tiles in a shard, at most.
    """
    stretches = (one for name, scene in pictures for one in cut_stretches(name, scene, units_per_shard))
    waiting: list[Stretch] = []
    number = 0
    for stretch in stretches:
        if waiting and _count(waiting) + stretch.num_tiles > units_per_shard:
            yield Shard(number, tuple(waiting))
            waiting, number = [], number + 1
        waiting.append(stretch)
    if waiting:
        yield Shard(number, tuple(waiting))


def cut_stretches(name: str, scene: Scene | None, most_tiles: int) -> Iterator[Stretch]:
    """Yield the stretches of one picture; none goes on into the next row of tiles."""
    if scene is None:
        yield Stretch(name)
        return
    grid = scene.grid
    fitting = max(1, _MAX_STRETCH_PX // scene.tile_px**2)
    for row in range(grid.num_rows):
        numbers = iter(range(row * grid.num_columns, (row + 1) * grid.num_columns))
        while chosen := [*islice(numbers, min(most_tiles, fitting))]:
            yield Stretch(name, scene, chosen[0], len(chosen))


def _count(stretches: list[Stretch]) -> int:
    return sum(stretch.num_tiles for stretch in stretches)
