"""Contours of pixel centres are found by what they are, and become what was painted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dataset.bends.borders import find_filled_holes, find_masks_off_by_half, find_short_masks
from dataset.bends.tracing import look_at
from maskloop.masks import decode_masks
from tests.fakes.bent_batches import (
    SIDE_PX,
    Write,
    as_contours,
    as_contours_with_holes,
    as_edges,
    as_rle,
    bend_codes,
    bends_of,
    blobs,
    draw_l,
    draw_ring,
    evidence_of,
    read_rles,
    write_masks,
)
from tests.fakes.contours import Mask, trace_outer

SHORT = "masks-one-pixel-short"


def is_seen_as_traced(mask: Mask) -> bool:
    """A contour with a diagonal line; that of a rectangle may as well be one of pixel edges."""
    return look_at([np.array(each).reshape(-1, 2) for each in trace_outer(mask)]).has_diagonals


@given(st.lists(blobs(), min_size=12, max_size=16))
def test_five_traced_masks_are_found_without_box_and_area_and_become_what_was_painted(
    masks: list[Mask],
) -> None:
    masks = [mask for mask in masks if is_seen_as_traced(mask)]
    assume(len(masks) >= 5)
    coco = write_masks(masks, as_contours)
    assert bend_codes(coco) == [SHORT]
    report, _, mended = bends_of(coco, is_mending=True)
    assert read_rles(report) == [as_rle(mask) for mask in masks]
    assert mended.num_by_code == {SHORT: len(masks)}


@given(st.lists(blobs(), min_size=1, max_size=4))
def test_a_single_traced_mask_is_found_by_its_own_box_and_becomes_what_was_painted(masks: list[Mask]) -> None:
    coco = write_masks(masks, as_contours, is_told=True)
    assert SHORT in bend_codes(coco)
    report, _, _ = bends_of(coco, is_mending=True)
    assert read_rles(report) == [as_rle(mask) for mask in masks]


@given(st.lists(blobs(), min_size=5, max_size=8), st.sampled_from([as_rle, as_edges]), st.booleans())
def test_masks_that_are_written_exactly_are_not_bent(masks: list[Mask], write: Write, is_told: bool) -> None:
    assert [code for code in bend_codes(write_masks(masks, write, is_told=is_told)) if code == SHORT] == []


@given(st.lists(blobs(has_holes=True).filter(np.any), min_size=5, max_size=8), st.booleans())
def test_masks_with_holes_that_are_written_as_rle_are_not_bent(masks: list[Mask], is_told: bool) -> None:
    codes = bend_codes(write_masks(masks, as_rle, is_told=is_told))
    assert set(codes) <= {"masks-are-boxes"}


def draw_by_hand(number: int, *, is_whole: bool) -> Any:
    """A ring of eleven points, as a person clicks them."""
    random = np.random.default_rng(number)
    angles = np.linspace(0, 2 * math.pi, 12)[:-1] + random.uniform(-0.2, 0.2, 11)
    points = 20 + 15 * np.stack([np.cos(angles), np.sin(angles)], axis=1) + random.uniform(-2, 2, (11, 2))
    return [(np.rint(points) if is_whole else points).ravel().tolist()]


@pytest.mark.parametrize("is_whole", [True, False])
def test_outlines_that_a_person_clicked_are_not_bent(is_whole: bool) -> None:
    numbers = iter(range(30))
    masks = [draw_l(number) for number in range(30)]
    coco = write_masks(masks, lambda _: draw_by_hand(next(numbers), is_whole=is_whole))
    assert bend_codes(coco) == []


def test_four_traced_masks_without_box_and_area_prove_nothing() -> None:
    assert bend_codes(write_masks([draw_l(number) for number in range(4)], as_contours)) == []
    assert bend_codes(write_masks([draw_l(number) for number in range(5)], as_contours)) == [SHORT]


def test_outlines_that_reach_the_last_columns_edge_are_no_contours_of_pixel_centres() -> None:
    """A bevelled square of pixel edges at the right border."""
    edge = [[30, 10, SIDE_PX, 10, SIDE_PX, 18, SIDE_PX - 2, 20, 30, 20]]
    assert bend_codes(write_masks([draw_l(number) for number in range(9)], lambda _: edge)) == []


def test_a_few_traced_masks_among_many_drawn_ones_are_no_bend() -> None:
    numbers = iter(range(30))

    def write(mask: Mask) -> Any:
        number = next(numbers)
        return as_contours(mask) if number < 6 else draw_by_hand(number, is_whole=False)

    assert bend_codes(write_masks([draw_l(number) for number in range(20)], write)) == []


def test_an_area_that_counts_the_pixels_of_the_outline_proves_it() -> None:
    """A square of 12 px: 121 px² inside the contour, 44 border points, and 121 + 44 / 2 + 1 = 144 px."""
    square = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    square[3:15, 3:15] = True
    finding = find_short_masks(evidence_of(write_masks([square], as_contours, area=144)))
    assert finding is not None
    assert finding.count == 1
    assert find_short_masks(evidence_of(write_masks([square], as_contours, area=121))) is None


def test_polygons_that_fit_their_own_box_beside_bent_ones_are_left_as_they_are() -> None:
    """datumaro writes RLE as contours and passes polygons on."""
    square = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    square[3:15, 3:15] = True
    writes = iter([as_contours, as_edges])
    coco = write_masks([draw_l(1), square], lambda mask: next(writes)(mask), is_told=True)
    report, problems, _ = bends_of(coco, is_mending=True)
    assert read_rles(report) == [as_rle(draw_l(1)), as_rle(square)]
    assert problems[0].count == 1


def test_a_bevelled_polygon_that_fits_its_own_box_is_left_beside_bent_ones() -> None:
    bevelled = [[3.0, 3, 13, 3, 15, 5, 15, 15, 3, 15]]
    writes = iter([as_contours(draw_l(1)), bevelled])
    square = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    square[3:15, 3:15] = True
    finding = find_short_masks(
        evidence_of(write_masks([draw_l(1), square], lambda _: next(writes), is_told=True))
    )
    assert finding is not None
    assert [one.index for one in finding.affected] == [0]


def test_supervisely_counts_outlines_to_its_objects() -> None:
    square = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    square[3:15, 3:15] = True
    coco = write_masks([square], as_contours)
    named = type(coco)(coco.path, coco.images, coco.annotations, coco.categories, tool="Supervisely")
    assert bend_codes(coco) == []
    assert bend_codes(named) == [SHORT]


def test_masks_half_a_pixel_off_are_moved() -> None:
    """FiftyOne's contour of 20 x 20 px: read as it stands it has an IoU of 0.92, moved one of 0.98."""
    square = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    square[10:30, 10:30] = True
    leaning = [[29.0, 29.5, 9.5, 29.0, 10.0, 9.5, 29.5, 10.0, 29.0, 29.5]]
    coco = write_masks([square], lambda _: leaning, bbox=[10, 10, 20, 20])
    assert bend_codes(coco) == ["masks-half-a-pixel-off"]
    for is_mending, least, most in ((False, 0.90, 0.93), (True, 0.98, 1.0)):
        report, _, _ = bends_of(coco, is_mending=is_mending)
        (rle,) = (one.mask for picture in report.usable for one in picture.instances)
        mask = decode_masks([rle])[0]
        assert least < (mask & square).sum() / (mask | square).sum() <= most


def test_half_pixels_without_a_box_prove_nothing() -> None:
    leaning = [[29.0, 29.5, 9.5, 29.0, 10.0, 9.5, 29.5, 10.0]]
    assert find_masks_off_by_half(evidence_of(write_masks([draw_l(1)], lambda _: leaning))) is None


class TestFilledHoles:
    def test_a_hole_written_as_one_more_contour_comes_back(self) -> None:
        masks = [draw_ring(number) for number in range(5)]
        coco = write_masks(masks, as_contours_with_holes)
        assert bend_codes(coco) == [SHORT, "polygon-inside-polygon"]
        report, _, _ = bends_of(coco, is_mending=True)
        assert read_rles(report) == [as_rle(mask) for mask in masks]

    def test_a_hole_of_pixel_edges_comes_back(self) -> None:
        masks = [draw_ring(number) for number in range(2)]
        coco = write_masks(masks, as_edges)
        assert bend_codes(coco) == ["polygon-inside-polygon"]
        report, _, _ = bends_of(coco, is_mending=True)
        assert read_rles(report) == [as_rle(mask) for mask in masks]

    @pytest.mark.parametrize(
        ("area", "is_hole"),
        [(None, True), (128, True), (144, False), (160, False), (100, True)],
        ids=["nothing is told", "without the hole", "both united", "both added up", "nearest to the hole"],
    )
    def test_the_files_area_says_whether_the_inner_polygon_is_a_hole(
        self, area: int | None, is_hole: bool
    ) -> None:
        coco = write_masks([draw_ring(1)], as_edges, area=area)
        assert (find_filled_holes(evidence_of(coco)) is not None) is is_hole

    @pytest.mark.parametrize(("num_parts", "is_found"), [(19, True), (20, False)])
    def test_a_rare_polygon_inside_another_is_noise_where_no_area_tells(
        self, num_parts: int, is_found: bool
    ) -> None:
        two = draw_l(0, size_px=8) | draw_l(0, size_px=8)[::-1, ::-1]
        coco = write_masks([draw_ring(1), *[two] * num_parts], as_edges)
        assert (find_filled_holes(evidence_of(coco)) is not None) is is_found
        told = write_masks([draw_ring(1), *[two] * num_parts], as_edges, is_told=True)
        finding = find_filled_holes(evidence_of(told))
        assert finding is not None
        assert finding.count == 1

    def test_parts_beside_each_other_are_no_holes(self) -> None:
        two = draw_l(0, size_px=8) | draw_l(0, size_px=8)[::-1, ::-1]
        assert find_filled_holes(evidence_of(write_masks([two], as_edges))) is None
