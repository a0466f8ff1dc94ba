"""Masks are held against their boxes, and against the areas and boxes that the file gives them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dataset.bends.figures import find_areas_of_boxes, find_boxes_for_masks, find_contradictions
from dataset.coco.document import CocoFile
from tests.fakes.bent_batches import SIDE_PX, as_rle, draw_l, evidence_of, write_masks
from tests.fakes.contours import Mask

LS = [draw_l(number) for number in range(10)]


def box(number: int, *, side_px: int = 6) -> Mask:
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    mask[number : number + side_px, number : number + side_px] = True
    return mask


def with_field(coco: CocoFile, number: int, **fields: Any) -> CocoFile:
    changed = {**coco.annotations[number], **fields}
    return replace(coco, annotations=(*coco.annotations[:number], changed, *coco.annotations[number + 1 :]))


@pytest.mark.parametrize(("num_boxes", "is_found"), [(10, True), (9, True), (8, False)])
def test_most_of_ten_masks_being_boxes_is_found(num_boxes: int, is_found: bool) -> None:
    masks = [*map(box, range(num_boxes)), *LS[num_boxes:]]
    finding = find_boxes_for_masks(evidence_of(write_masks(masks, as_rle)))
    assert (finding is not None) is is_found
    if finding:
        assert finding.message == f"{num_boxes} of 10 masks fill their box to the last pixel"


def test_few_boxes_or_specks_prove_nothing() -> None:
    assert find_boxes_for_masks(evidence_of(write_masks([box(n) for n in range(9)], as_rle))) is None
    specks = [box(number, side_px=2) for number in range(20)]
    assert find_boxes_for_masks(evidence_of(write_masks(specks, as_rle))) is None


def test_two_boxes_of_a_file_that_sahi_wrote_are_enough() -> None:
    coco = write_masks([box(1), box(2)], as_rle)
    order = ("iscrowd", "image_id", "bbox", "segmentation", "category_id", "id")
    by_sahi = tuple({key: one.get(key) for key in order} for one in coco.annotations)
    assert find_boxes_for_masks(evidence_of(coco)) is None
    assert find_boxes_for_masks(evidence_of(replace(coco, annotations=by_sahi))) is not None


def test_areas_and_boxes_that_are_the_masks_are_no_contradiction() -> None:
    assert find_contradictions(evidence_of(write_masks(LS, as_rle, is_told=True))) is None
    assert find_contradictions(evidence_of(write_masks(LS, as_rle))) is None


@pytest.mark.parametrize("is_found", [True, False])
def test_an_area_beyond_rounding_is_told_with_the_worst_example_first(is_found: bool) -> None:
    """An L of 80 px with sides of 12 px: 26 px off are rounding, 27 are not."""
    off = 27 if is_found else 26
    coco = with_field(write_masks(LS, as_rle, is_told=True), 3, area=80 + off)
    if is_found:
        coco = with_field(coco, 7, area=400)
    finding = find_contradictions(evidence_of(coco))
    assert (finding is not None) is is_found
    if finding:
        assert [one.where for one in finding.affected] == ["/annotations/7", "/annotations/3"]
        assert "the worst has an area of 400 px², the mask 80 px" in finding.message


@pytest.mark.parametrize(("off_px", "is_found"), [(3, False), (4, True)])
def test_a_box_beyond_rounding_is_told(off_px: int, is_found: bool) -> None:
    coco = write_masks(LS, as_rle, is_told=True)
    left, top, width, height = coco.annotations[3]["bbox"]
    moved = with_field(coco, 3, bbox=[left, top, width + off_px, height])
    assert (find_contradictions(evidence_of(moved)) is not None) is is_found


def test_one_wrong_area_in_more_than_a_hundred_is_noise() -> None:
    many = [draw_l(number) for number in range(101)]
    coco = with_field(write_masks(many, as_rle, is_told=True), 3, area=999)
    assert find_contradictions(evidence_of(coco)) is None


def test_a_box_that_leaves_the_picture_is_told_elsewhere() -> None:
    coco = with_field(write_masks(LS, as_rle, is_told=True), 3, bbox=[0, 0, SIDE_PX + 5, 5], area=999)
    assert find_contradictions(evidence_of(coco)) is None


def test_the_boxs_area_is_harmless_where_most_annotations_have_it() -> None:
    coco = write_masks(LS, as_rle, is_told=True)
    for number in range(5):
        assert find_areas_of_boxes(evidence_of(coco)) is None
        coco = with_field(coco, number, area=144)
    finding = find_areas_of_boxes(evidence_of(coco))
    assert finding is not None
    assert finding.message == "5 annotations give the box's area as the mask's"
    assert find_contradictions(evidence_of(coco)) is None
