"""Tiles cover a picture, each is counted once, and the arithmetic is that of paper."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskloop.errors import DataError
from models.answering.tile_grid import TileBox, TileGrid, cut_pixels


def test_tiles_begin_a_stride_apart_and_the_last_one_ends_with_the_picture() -> None:
    grid = TileGrid(height_px=10, width_px=25, tile_px=10, overlap_px=2)

    assert (grid.num_rows, grid.num_columns) == (1, 3)
    assert [box.left_px for box in grid.tiles()] == [0, 8, 15]


def test_a_picture_that_fits_is_one_tile_of_its_own_size() -> None:
    assert [*TileGrid(7, 10, tile_px=10, overlap_px=9).tiles()] == [TileBox(0, 0, 7, 10)]


@settings(max_examples=80, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), tile=st.integers(1, 40), data=st.data())
def test_tiles_cover_every_pixel_none_is_smaller_than_asked_and_neighbours_share_the_overlap(
    height: int, width: int, tile: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    grid = TileGrid(height, width, tile, overlap)
    seen = np.zeros((height, width), int)
    for box in grid.tiles():
        assert (box.height_px, box.width_px) == (min(tile, height), min(tile, width))
        seen[box.top_px : box.bottom_px, box.left_px : box.right_px] += 1
    lefts = [grid.tile(number).left_px for number in range(grid.num_columns)]

    assert seen.min() >= 1
    assert len({*grid.tiles()}) == grid.num_tiles
    assert min((one + tile - two for one, two in pairwise(lefts)), default=overlap) >= overlap


@pytest.mark.parametrize("overlap_px", [-1, 32, 100])
def test_an_overlap_as_large_as_the_tile_is_refused(overlap_px: int) -> None:
    with pytest.raises(DataError, match="overlap must be smaller"):
        TileGrid(64, 64, 32, overlap_px)


def test_cut_pixels_do_not_hold_the_picture_in_memory() -> None:
    picture = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    cut = cut_pixels(picture, TileBox(1, 0, 2, 2))

    assert (cut == picture[1:3, 0:2]).all()
    assert cut.base is None
