"""Cutting and merging: whatever lies where, each object is found once, where it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.instances import NUM_INSIDES, Detections
from maskloop.errors import DataError
from maskloop.masks import encode_masks
from serving.answering.tiling import MAX_TILES, Tile, cut_tiles, merge_tiles

BOX_PX = 9
CELL_PX = 16


@st.composite
def scenes(draw: st.DrawFn) -> np.ndarray:
    """Draw label pictures (H, W): in each cell of 16 px at most one rectangle, numbered from 1."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    labels = np.zeros((rows * CELL_PX, columns * CELL_PX), np.uint8)
    for number in range(rows * columns):
        if draw(st.booleans()):
            height, width = draw(st.integers(3, BOX_PX)), draw(st.integers(3, BOX_PX))
            top = number // columns * CELL_PX + draw(st.integers(0, CELL_PX - height - 1))
            left = number % columns * CELL_PX + draw(st.integers(0, CELL_PX - width - 1))
            labels[top : top + height, left : left + width] = number + 1
    return labels


def find_boxes(pixels: np.ndarray, *, class_of: int = 2) -> Detections:
    """Find what a perfect model would: one instance for each number, or what is seen of it."""
    labels = pixels[..., 0]
    numbers = [int(number) for number in np.unique(labels) if number]
    masks = np.stack([labels == number for number in numbers]) if numbers else np.zeros((0, *labels.shape))
    boxes = np.array([box_of(mask) for mask in masks], np.float32).reshape(-1, 4)
    scores = np.linspace(0.9, 0.6, len(numbers), dtype=np.float32)
    classes = np.array(numbers, dtype=np.int64) % class_of
    height_px, width_px = labels.shape
    found = encode_masks(masks) if numbers else ()
    return Detections(height_px, width_px, boxes, scores, classes, found)


def box_of(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def find_by_tiles(labels: np.ndarray, tile_px: int, overlap_px: int) -> Detections:
    pixels = np.repeat(labels[..., None], 3, axis=2)
    tiles = cut_tiles(pixels, tile_px=tile_px, overlap_px=overlap_px)
    found = [(tile, find_boxes(tile.pixels)) for tile in tiles]
    return merge_tiles(found, height_px=labels.shape[0], width_px=labels.shape[1])


@settings(max_examples=60, deadline=None)
@given(labels=scenes(), tile_px=st.integers(32, 64), more_px=st.integers(0, 8))
def test_cut_and_merged_each_object_is_found_once_and_whole(
    labels: np.ndarray, tile_px: int, more_px: int
) -> None:
    """The overlap holds the largest object and the margin at both borders, so a tile sees each one whole."""
    merged = find_by_tiles(labels, tile_px, BOX_PX + 6 + more_px)
    expected = find_boxes(labels[..., None])
    assert sorted(map(tuple, merged.boxes_xyxy)) == sorted(map(tuple, expected.boxes_xyxy))
    assert {mask.counts for mask in merged.masks} == {mask.counts for mask in expected.masks}
    assert (np.diff(merged.scores) <= 0).all()


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
        again[tile.top_px : tile.top_px + rows, tile.left_px : tile.left_px + columns] = tile.pixels
    assert (again == pixels).all()


def test_an_object_larger_than_the_overlap_stays_in_parts_rather_than_being_lost() -> None:
    labels = np.zeros((20, 100), np.uint8)
    labels[5:15, 10:90] = 1
    merged = find_by_tiles(labels, 50, 10)
    assert len(merged) >= 2
    assert merged.masks_NHW().any(axis=0).sum() == 800


def test_what_was_found_in_tiles_keeps_its_numbers_about_the_inside() -> None:
    labels = np.zeros((32, 60), np.uint8)
    labels[4:12, 4:12], labels[4:12, 48:56] = 1, 2
    tiles = cut_tiles(np.repeat(labels[..., None], 3, axis=2), tile_px=32, overlap_px=4)
    answers = [(tile, find_boxes(tile.pixels)) for tile in tiles]
    told = [
        (tile, replace(one, insides=np.repeat(one.class_indices[:, None], NUM_INSIDES, 1).astype(np.float32)))
        for tile, one in answers
    ]
    merged = merge_tiles(told, height_px=32, width_px=60)
    assert merged.insides is not None
    assert merged.insides[:, 0].tolist() == merged.class_indices.tolist() == [1, 0]
    assert merge_tiles([told[0], *answers[1:]], height_px=32, width_px=60).insides is None


def test_two_classes_on_one_spot_are_two_objects() -> None:
    one = find_boxes(np.pad(np.ones((8, 8, 1), np.uint8), ((4, 4), (4, 4), (0, 0))))
    other = Detections(16, 16, one.boxes_xyxy, one.scores, one.class_indices * 0, one.masks)
    tile = Tile(0, 0, np.zeros((16, 16, 3), np.uint8))
    assert len(merge_tiles([(tile, one), (tile, other)], height_px=16, width_px=16)) == 2
    assert len(merge_tiles([(tile, one), (tile, one)], height_px=16, width_px=16)) == 1


def test_too_many_tiles_are_refused_before_any_is_cut() -> None:
    picture = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (30_000, 30_000, 3))
    with pytest.raises(DataError, match=f"more than {MAX_TILES}"):
        cut_tiles(picture, tile_px=1, overlap_px=0)


@pytest.mark.parametrize("overlap_px", [-1, 32, 100])
def test_an_overlap_as_large_as_the_tile_is_refused(overlap_px: int) -> None:
    with pytest.raises(DataError, match="overlap must be smaller"):
        cut_tiles(np.zeros((64, 64, 3), np.uint8), tile_px=32, overlap_px=overlap_px)
