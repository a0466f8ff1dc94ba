"""Merging: whatever lies where, each object comes out once, whole, and nothing else is joined to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.instances import NUM_INSIDES, Detections
from maskloop.masks import decode_masks, encode_masks
from models.answering.tile_grid import TileBox, TileGrid
from models.answering.tile_merging import (
    MergedInstance,
    merge_detections,
    merge_rows,
    merge_tiles,
)
from models.answering.tile_pairing import find_pieces
from tests.fakes.tiled_scenes import find_in_tiles, find_numbers


@st.composite
def scenes(draw: st.DrawFn) -> np.ndarray:
    """Draw label pictures (H, W) of rectangles, numbered from 1, that may touch and hide parts of others.

    Each number is one connected rectangle, so that it is one object.
    """
    height, width = draw(st.integers(10, 70)), draw(st.integers(10, 70))
    labels = np.zeros((height, width), np.uint8)
    for number in range(1, draw(st.integers(0, 8)) + 1):
        top, left = draw(st.integers(0, height - 3)), draw(st.integers(0, width - 3))
        rows = slice(top, top + draw(st.integers(3, 40)))
        columns = slice(left, left + draw(st.integers(3, 40)))
        if not labels[rows, columns].any():
            labels[rows, columns] = number
    return labels


def merge_all(labels: np.ndarray, tile_px: int, overlap_px: int, *, num_classes: int = 2) -> Detections:
    height_px, width_px = labels.shape
    grid = TileGrid(height_px, width_px, tile_px, overlap_px)
    found = find_in_tiles(labels, grid, num_classes=num_classes)
    return merge_tiles(found, height_px=height_px, width_px=width_px)


@settings(max_examples=150, deadline=None)
@given(labels=scenes(), tile_px=st.integers(12, 40), overlap_px=st.integers(4, 11))
def test_each_object_comes_out_once_with_its_whole_mask_however_it_is_cut(
    labels: np.ndarray, tile_px: int, overlap_px: int
) -> None:
    merged, expected = merge_all(labels, tile_px, overlap_px), find_numbers(labels[..., None])

    assert sorted(map(tuple, merged.boxes_xyxy)) == sorted(map(tuple, expected.boxes_xyxy))
    told = sorted(zip(merged.class_indices, (mask.counts for mask in merged.masks), strict=True))
    assert told == sorted(zip(expected.class_indices, (mask.counts for mask in expected.masks), strict=True))
    assert (np.diff(merged.scores) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(labels=scenes(), tile_px=st.integers(12, 40), overlap_px=st.integers(4, 11))
def test_row_by_row_the_instances_are_those_of_all_tiles_at_once(
    labels: np.ndarray, tile_px: int, overlap_px: int
) -> None:
    height, width = labels.shape
    grid = TileGrid(height, width, tile_px, overlap_px)
    found = find_in_tiles(labels, grid)
    rows = [
        [
            piece
            for tile, detections in found[first : first + grid.num_columns]
            for piece in find_pieces(tile, detections, height_px=height, width_px=width)
        ]
        for first in range(0, grid.num_tiles, grid.num_columns)
    ]
    at_once = merge_detections(found, height_px=height, width_px=width)

    assert sorted(map(told, merge_rows(rows, grid))) == sorted(map(told, at_once))


def told(one: MergedInstance) -> tuple[object, ...]:
    return one.first.class_index, one.box_xyxy, one.left_px, one.top_px, one.mask.counts


def test_an_instance_cut_by_two_tiles_is_one_with_the_best_score_of_its_parts() -> None:
    labels = np.zeros((20, 100), np.uint8)
    labels[5:15, 10:90] = 1
    (one,) = merge_detections(find_in_tiles(labels, TileGrid(20, 100, 60, 10)), height_px=20, width_px=100)

    assert one.box_xyxy == (10, 5, 90, 15)
    assert decode_masks([one.mask]).sum() == 800
    assert one.score == np.float32(0.9)


def test_an_instance_in_the_corner_of_four_tiles_is_one() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[20:80, 25:85] = 1
    (one,) = merge_detections(find_in_tiles(labels, TileGrid(100, 100, 56, 12)), height_px=100, width_px=100)

    assert (one.left_px, one.top_px, one.mask.width_px, one.mask.height_px) == (25, 20, 60, 60)
    assert decode_masks([one.mask]).all()


def test_two_objects_of_one_class_that_touch_at_the_border_of_tiles_stay_two() -> None:
    labels = np.zeros((20, 60), np.uint8)
    labels[4:10, 10:50], labels[10:16, 10:50] = 2, 4

    merged = merge_all(labels, 36, 12)

    assert merged.masks_NHW().sum(axis=(1, 2)).tolist() == [240, 240]
    assert not (merged.masks_NHW()[0] & merged.masks_NHW()[1]).any()


def test_a_horseshoe_whose_legs_look_like_two_objects_in_one_tile_is_one() -> None:
    labels = np.zeros((60, 40), np.uint8)
    labels[10:50, 5:35] = 1
    labels[10:40, 15:25] = 0
    legs, bottom = TileBox(0, 0, 36, 40), TileBox(24, 0, 36, 40)
    upper = np.stack([labels[:36] * (np.arange(40) < 20), labels[:36] * (np.arange(40) >= 20)]) > 0
    seen = Detections(
        36,
        40,
        np.array([[5, 10, 15, 36], [25, 10, 35, 36]], np.float32),
        np.array([0.9, 0.8], np.float32),
        np.zeros(2, np.int64),
        encode_masks(upper),
    )
    below = find_numbers(labels[24:, :, None], num_classes=1)

    merged = merge_tiles([(legs, seen), (bottom, below)], height_px=60, width_px=40)

    assert (merged.masks_NHW() == [labels > 0]).all()


def test_nothing_is_joined_across_classes() -> None:
    left, right = TileBox(0, 0, 16, 16), TileBox(0, 8, 16, 16)
    one = find_numbers(np.pad(np.ones((8, 8, 1), np.uint8), ((4, 4), (8, 0), (0, 0))))
    other = find_numbers(np.pad(np.ones((8, 8, 1), np.uint8), ((4, 4), (0, 8), (0, 0))))
    renamed = replace(other, class_indices=other.class_indices - 1)

    assert len(merge_tiles([(left, one), (right, renamed)], height_px=16, width_px=24)) == 2
    assert len(merge_tiles([(left, one), (right, other)], height_px=16, width_px=24)) == 1


def test_a_part_that_looks_like_another_class_is_outvoted_by_the_tile_that_sees_the_whole_object() -> None:
    left, right = TileBox(0, 0, 40, 40), TileBox(0, 20, 40, 40)
    cut, whole = np.zeros((2, 1, 40, 40), bool)
    cut[0, 10:20, 34:40], whole[0, 10:20, 14:30] = True, True
    score, bolt, gear = np.array([0.9], np.float32), np.zeros(1, np.int64), np.ones(1, np.int64)
    part = Detections(40, 40, np.array([[34, 10, 40, 20]], np.float32), score, bolt, encode_masks(cut))
    seen = Detections(40, 40, np.array([[14, 10, 30, 20]], np.float32), score, gear, encode_masks(whole))
    lower = np.add(seen.boxes_xyxy, [[0, 12, 0, 12]]).astype(np.float32)
    beside = replace(seen, boxes_xyxy=lower, masks=encode_masks(np.roll(whole, 12, axis=1)))

    merged = merge_tiles([(left, part), (right, seen)], height_px=40, width_px=60)

    assert (merged.class_indices.tolist(), merged.masks_NHW().sum()) == ([1], 160)
    assert len(merge_tiles([(left, part), (right, beside)], height_px=40, width_px=60)) == 2


def test_the_mask_is_that_of_the_tile_that_sees_the_object_farthest_from_its_borders() -> None:
    """The left tile sees it 10 px from its border, and whole; the right one sees a part."""
    left, right = TileBox(0, 0, 40, 40), TileBox(0, 20, 40, 40)
    good, bad = np.zeros((2, 1, 40, 40), bool)
    good[0, 10:20, 22:30], bad[0, 10:16, 3:10] = True, True
    box = np.array([[22, 10, 30, 20]], np.float32)
    near = Detections(40, 40, box, np.array([0.6], np.float32), np.zeros(1, np.int64), encode_masks(good))
    far_box = np.array([[2.5, 10, 10, 16]], np.float32)
    far = Detections(40, 40, far_box, np.array([0.9], np.float32), np.zeros(1, np.int64), encode_masks(bad))

    merged = merge_tiles([(left, near), (right, far)], height_px=40, width_px=60)

    assert merged.masks_NHW().sum() == 80
    assert merged.boxes_xyxy.tolist() == [[22, 10, 30, 20]]
    assert merged.scores.tolist() == [np.float32(0.9)]


def test_a_sliver_that_a_border_cut_off_belongs_to_the_object_beside_it() -> None:
    """The left tile ends in the object's first 4 columns, and the model draws only 1 of them."""
    left, right = TileBox(0, 0, 20, 24), TileBox(0, 12, 20, 24)
    sliver, whole = np.zeros((1, 20, 24), bool), np.zeros((1, 20, 24), bool)
    sliver[0, 5:15, 23], whole[0, 5:15, 8:18] = True, True
    cut = Detections(
        20,
        24,
        np.array([[23, 5, 24, 15]], np.float32),
        np.array([0.9], np.float32),
        np.zeros(1, np.int64),
        encode_masks(sliver),
    )
    seen = replace(cut, boxes_xyxy=np.array([[8, 5, 18, 15]], np.float32), masks=encode_masks(whole))

    merged = merge_tiles([(left, cut), (right, seen)], height_px=20, width_px=36)

    assert merged.boxes_xyxy.tolist() == [[20, 5, 30, 15]]
    assert merged.masks_NHW().sum() == 100


def test_a_small_object_inside_a_larger_one_of_its_class_stays_one_of_two() -> None:
    left, right = TileBox(0, 0, 30, 40), TileBox(0, 10, 30, 40)
    masks = np.zeros((2, 30, 50), bool)
    masks[0, 2:28, 12:38], masks[1, 10:20, 20:30] = True, True

    def see(tile: TileBox) -> Detections:
        seen = masks[:, :, tile.left_px : tile.right_px]
        boxes = np.array([[12, 2, 38, 28], [20, 10, 30, 20]], np.float32) - [tile.left_px, 0] * 2
        scores = np.array([0.9, 0.8], np.float32)
        return Detections(30, 40, boxes.astype(np.float32), scores, np.zeros(2, np.int64), encode_masks(seen))

    merged = merge_tiles([(left, see(left)), (right, see(right))], height_px=30, width_px=50)

    assert merged.masks_NHW().sum(axis=(1, 2)).tolist() == [676, 100]


def test_one_tile_is_the_answer_itself() -> None:
    found = find_numbers(np.ones((8, 8, 1), np.uint8))

    assert merge_tiles([(TileBox(0, 0, 8, 8), found)], height_px=8, width_px=8) is found


def test_what_was_found_in_tiles_keeps_its_numbers_about_the_inside() -> None:
    labels = np.zeros((32, 60), np.uint8)
    labels[4:12, 4:12], labels[4:12, 48:56] = 1, 2
    answers = find_in_tiles(labels, TileGrid(32, 60, 32, 4))
    told_inside = [
        (tile, replace(one, insides=np.repeat(one.class_indices[:, None], NUM_INSIDES, 1).astype(np.float32)))
        for tile, one in answers
    ]
    merged = merge_tiles(told_inside, height_px=32, width_px=60)

    assert merged.insides is not None
    assert merged.insides[:, 0].tolist() == merged.class_indices.tolist()
    assert sorted(merged.class_indices.tolist()) == [0, 1]
    assert merge_tiles([told_inside[0], *answers[1:]], height_px=32, width_px=60).insides is None
