"""Contours painted back are the masks they were traced from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from dataset.bends.painting import (
    are_boxes_nested,
    measure_depths,
    paint_inclusively,
    paint_with_holes,
    rasterise,
    read_polygons,
)
from maskloop.masks import Rle, decode_masks, encode_masks
from tests.fakes.bent_batches import (
    SIDE_PX,
    as_contours,
    as_contours_with_holes,
    as_edges,
    blobs,
    draw_ring,
)
from tests.fakes.contours import Mask, trace_holes, trace_outer


def painted(rle: Rle) -> Mask:
    return np.asarray(decode_masks([rle])[0])


def inclusively(segmentation: list[list[float]], side_px: int = SIDE_PX) -> Mask:
    return painted(paint_inclusively(read_polygons(segmentation), height_px=side_px, width_px=side_px))


@given(blobs())
def test_a_mask_without_holes_comes_back_from_its_outer_contours(mask: Mask) -> None:
    np.testing.assert_array_equal(inclusively(as_contours(mask)), mask)


@given(blobs(has_holes=True))
def test_a_mask_with_holes_comes_back_from_all_its_contours(mask: Mask) -> None:
    if all(len(each) >= 6 for each in (*trace_outer(mask), *trace_holes(mask))):  # else tools lose a speck
        np.testing.assert_array_equal(inclusively(as_contours_with_holes(mask)), mask)


@given(blobs(has_holes=True))
def test_a_mask_with_holes_comes_back_from_its_pixel_edges(mask: Mask) -> None:
    if mask.any():
        polygons = read_polygons(as_edges(mask))
        np.testing.assert_array_equal(painted(paint_with_holes(polygons, SIDE_PX, SIDE_PX)), mask)


def test_a_square_of_four_points_is_filled_to_its_last_pixel() -> None:
    """OpenCV's contour of 20 x 20 px at (80, 60) of a picture of 100 x 80 px."""
    square = read_polygons([[80, 60, 80, 79, 99, 79, 99, 60]])
    mask = painted(paint_inclusively(square, height_px=80, width_px=100))
    assert mask[60:, 80:].all()
    assert mask.sum() == 400


def test_the_contour_of_a_hole_lies_on_the_object_around_it() -> None:
    ring = draw_ring(0)
    assert inclusively(as_contours_with_holes(ring)).sum() == ring.sum() == 12 * 12 - 4 * 4


def test_a_hole_whose_contour_has_the_pixels_of_the_outer_one_stays_a_hole() -> None:
    """Four pixels around one: both contours are those four, in opposite directions."""
    ring = np.zeros((3, 3), dtype=bool)
    ring[[0, 1, 1, 2], [1, 0, 2, 1]] = True
    np.testing.assert_array_equal(inclusively(as_contours_with_holes(ring), side_px=3), ring)


def test_a_polygon_that_is_there_twice_is_no_hole() -> None:
    square = [4.0, 4, 4, 9, 9, 9, 9, 4]
    assert inclusively([square, square]).sum() == 36
    twice = read_polygons([square, [4.0, 4, 9, 4, 9, 9, 4, 9, 4, 4]])
    assert painted(paint_with_holes(twice, SIDE_PX, SIDE_PX)).sum() == 25


def test_what_lies_beyond_the_picture_is_cut_off() -> None:
    assert inclusively([[-3.0, -3, -3, 4, 4, 4, 4, -3]]).sum() == 25
    assert inclusively([[36.0, 36, 36, 60, 60, 60, 60, 36]]).sum() == 16


def test_an_island_in_a_hole_is_part_of_the_object() -> None:
    boxes = [(0, 0, 20, 20), (4, 4, 16, 16), (8, 8, 12, 12), (25, 25, 30, 30)]
    polygons = read_polygons([[x0, y0, x1, y0, x1, y1, x0, y1] for x0, y0, x1, y1 in boxes])
    assert measure_depths(rasterise(polygons, SIDE_PX, SIDE_PX)) == (0, 1, 2, 0)
    assert painted(paint_with_holes(polygons, SIDE_PX, SIDE_PX)).sum() == 400 - 144 + 16 + 25


@pytest.mark.parametrize(("other", "is_nested"), [((2, 2, 4, 4), True), ((2, 2, 9, 4), False)])
def test_boxes_are_nested_when_one_lies_in_another(other: tuple[int, ...], is_nested: bool) -> None:
    polygons = [np.array([[x0, y0], [x1, y0], [x1, y1]], float) for x0, y0, x1, y1 in ((0, 0, 6, 6), other)]
    assert are_boxes_nested(polygons) is is_nested
    assert not are_boxes_nested(polygons[:1])


@pytest.mark.parametrize(
    ("segmentation", "number"),
    [
        ([[0, 0, 4, 0, 4, 4], [1, 1, 2, 2]], 1),
        ([0, 0, 4, 0, 4, 4], 1),
        ([], 0),
        (None, 0),
        ({"size": [1, 1], "counts": "01"}, 0),
    ],
)
def test_polygons_are_read_as_the_mask_is_without_specks_and_in_a_missing_list(
    segmentation: object, number: int
) -> None:
    assert len(read_polygons(segmentation)) == number


def test_an_empty_mask_has_no_contours() -> None:
    empty = np.zeros((3, 3), dtype=bool)
    assert trace_outer(empty) == trace_holes(empty) == []
    assert encode_masks(empty[None])[0].counts
