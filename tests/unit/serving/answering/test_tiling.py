"""Cutting for the service: the tiles cover the picture, and neither tiles nor detections become too many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskloop.errors import DataError
from serving.answering.tiling import MAX_TILES, cut_tiles, merge_best
from tests.fakes.tiled_scenes import find_numbers


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 200), width=st.integers(1, 200), tile_px=st.integers(40, 64))
def test_tiles_cover_the_picture_and_none_is_smaller_than_asked_for(
    height: int, width: int, tile_px: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    again = np.zeros_like(pixels)
    for tile in cut_tiles(pixels, tile_px=tile_px, overlap_px=10):
        rows, columns = tile.pixels.shape[:2]
        assert (rows, columns) == (min(tile_px, height), min(tile_px, width))
        again[tile.box.top_px : tile.box.bottom_px, tile.box.left_px : tile.box.right_px] = tile.pixels
    assert (again == pixels).all()


def test_only_the_best_thousand_of_very_many_detections_are_looked_at() -> None:
    labels = np.tile(np.arange(1, 251, dtype=np.uint8), 5)[None, :, None].repeat(3, axis=2)
    tiles = cut_tiles(labels, tile_px=250, overlap_px=0)
    found = [(tile, find_numbers(tile.pixels, num_classes=1)) for tile in tiles]
    merged = merge_best(found, height_px=1, width_px=1250)

    assert len(merged) == 1000
    assert merged.scores.min() == found[0][1].scores[199]


def test_too_many_tiles_are_refused_before_any_is_cut() -> None:
    picture = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (30_000, 30_000, 3))
    with pytest.raises(DataError, match=f"more than {MAX_TILES}"):
        cut_tiles(picture, tile_px=1, overlap_px=0)


@pytest.mark.parametrize("overlap_px", [-1, 32, 100])
def test_an_overlap_as_large_as_the_tile_is_refused(overlap_px: int) -> None:
    with pytest.raises(DataError, match="overlap must be smaller"):
        cut_tiles(np.zeros((64, 64, 3), np.uint8), tile_px=32, overlap_px=overlap_px)
