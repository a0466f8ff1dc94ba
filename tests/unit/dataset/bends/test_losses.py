"""Objects in parts, and pictures that lost their objects, where something in the file proves it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dataset.bends.evidence import Batch
from dataset.bends.losses import find_dropped_objects, find_lost_pixels, find_objects_in_parts, restore_pixels
from dataset.coco.document import CocoFile
from tests.fakes.bent_batches import SIDE_PX, as_rle, draw_l, evidence_of, write_masks
from tests.fakes.contours import Mask


def in_one_picture(masks: list[Mask], *fields: dict[str, Any]) -> CocoFile:
    coco = write_masks(masks, as_rle)
    extra = fields or tuple({} for _ in masks)
    annotations = tuple(
        {**one, "image_id": 1, **more} for one, more in zip(coco.annotations, extra, strict=True)
    )
    return replace(coco, images=coco.images[:1], annotations=annotations)


LS = [draw_l(number) for number in range(3)]


@pytest.mark.parametrize(
    "group", [{"group_id": 4}, {"attributes": {"track_id": 4}}, {"group_id": "left wheel"}], ids=str
)
def test_annotations_of_one_class_with_one_group_number_are_parts(group: dict[str, Any]) -> None:
    finding = find_objects_in_parts(evidence_of(in_one_picture(LS, group, group, {})))
    assert finding is not None
    assert [one.index for one in finding.affected] == [0, 1]


@pytest.mark.parametrize(
    "fields",
    [
        ({"group_id": 4}, {"group_id": 5}, {}),
        ({"group_id": 0}, {"group_id": 0}, {"group_id": 0}),
        ({"group_id": None}, {"group_id": None}, {}),
        ({"group_id": 4}, {"group_id": 4, "category_id": 2}, {}),
    ],
    ids=["others", "zero means none", "null", "another class"],
)
def test_other_numbers_prove_nothing(fields: tuple[dict[str, Any], ...]) -> None:
    assert find_objects_in_parts(evidence_of(in_one_picture(LS, *fields))) is None


def test_one_group_number_in_two_pictures_proves_nothing() -> None:
    assert find_objects_in_parts(evidence_of(write_masks(LS, as_rle, group_id=4))) is None


def stairs(number: int) -> list[Mask]:
    """Squares of 4 px, each at the corner of the one before."""
    masks = []
    for step in range(number):
        mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
        mask[4 * step : 4 * step + 4, 4 * step : 4 * step + 4] = True
        masks.append(mask)
    return masks


def test_three_pairs_that_touch_at_corners_alone_are_parts() -> None:
    finding = find_objects_in_parts(evidence_of(in_one_picture(stairs(4))))
    assert finding is not None
    assert finding.message == "3 pairs of annotations of one class touch at corners alone"
    assert finding.count == 4
    assert find_objects_in_parts(evidence_of(in_one_picture(stairs(3)))) is None


@pytest.mark.parametrize("shift", [-1, 1], ids=["overlapping or side by side", "apart"])
def test_neighbours_that_touch_otherwise_are_objects(shift: int) -> None:
    moved = [np.roll(mask, shift * step, axis=1) for step, mask in enumerate(stairs(5))]
    assert find_objects_in_parts(evidence_of(in_one_picture(moved))) is None


@pytest.mark.parametrize(
    ("tool", "is_found"),
    [("Label Studio", True), ("Label Studio Converter", False), ("CVAT", False), ("", False)],
)
def test_pictures_without_annotations_are_told_where_label_studio_wrote_the_file(
    tool: str, is_found: bool
) -> None:
    coco = write_masks(LS, as_rle)
    bare = replace(coco, annotations=coco.annotations[:1], tool=tool)
    finding = find_dropped_objects(evidence_of(bare))
    assert (finding is not None) is is_found
    if finding:
        assert finding.message == "2 pictures have no annotation: 2.png, 3.png"
        assert (finding.count, finding.pictures) == (2, ("2.png", "3.png"))


def test_label_studios_own_json_drops_nothing() -> None:
    coco = write_masks(LS, as_rle)
    bare = replace(coco, annotations=coco.annotations[:1], tool="Label Studio", format="Label Studio JSON")
    assert find_dropped_objects(evidence_of(bare)) is None


def test_a_file_in_which_every_picture_has_annotations_lost_none() -> None:
    coco = replace(write_masks(LS, as_rle), tool="Label Studio")
    assert find_dropped_objects(evidence_of(coco)) is None
    assert find_dropped_objects(evidence_of(replace(coco, annotations=()))) is None


def without_its_outline(**changes: Any) -> CocoFile:
    coco = write_masks(LS, as_rle)
    lost = {**coco.annotations[1], "segmentation": [], "area": 1.0, "bbox": [5.0, 6.0, 1.0, 1.0], **changes}
    return replace(coco, annotations=(coco.annotations[0], lost, coco.annotations[2]))


@pytest.mark.parametrize("box", [[5.0, 6.0, 1.0, 1.0], [5, 6, 0, 0]], ids=["a box", "its corners alone"])
def test_an_object_of_one_pixel_comes_back_where_area_and_box_tell_it(box: list[float]) -> None:
    coco = without_its_outline(bbox=box)
    evidence = evidence_of(coco)
    finding = find_lost_pixels(evidence)
    assert finding is not None
    assert (finding.count, finding.where) == (1, "/annotations/1")
    mended = restore_pixels(Batch(coco, evidence.reading), finding).coco
    assert mended.annotations[1]["segmentation"] == [[5, 6, 6, 6, 6, 7, 5, 7]]
    assert (mended.annotations[0], mended.annotations[2]) == (coco.annotations[0], coco.annotations[2])
    assert find_lost_pixels(evidence_of(mended)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"area": 2.0},
        {"area": None},
        {"bbox": [5.0, 6.0, 2.0, 1.0]},
        {"bbox": [5.5, 6.0, 1.0, 1.0]},
        {"bbox": None},
        {"segmentation": [[5, 6, 5, 6]]},
        {"image_id": 99},
    ],
    ids=str,
)
def test_what_may_be_anything_else_is_not_restored(changes: dict[str, Any]) -> None:
    assert find_lost_pixels(evidence_of(without_its_outline(**changes))) is None


def test_in_a_batch_of_boxes_alone_no_pixel_was_lost() -> None:
    coco = without_its_outline()
    assert find_lost_pixels(evidence_of(replace(coco, annotations=coco.annotations[1:2]))) is None
