import numpy as np
import pytest

from evaluation.overlaps import Instances, overlapping_boxes, overlapping_masks
from maskloop.masks import areas_px, encode_masks

SIZE_PX = 20


def instances(*items, crowd=()):
    """Build them from (picture, class, box)."""
    boxes = np.array([box for _, _, box in items], dtype=np.float64).reshape(-1, 4)
    masks = np.zeros((len(items), SIZE_PX, SIZE_PX), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    return Instances(
        np.array([picture for picture, _, _ in items], dtype=np.int64),
        np.array([index for _, index, _ in items], dtype=np.int64),
        boxes,
        encode_masks(masks),
        np.isin(np.arange(len(items)), crowd),
    )


def overlapping(found, truth, *, kind, min_iou=0.25):
    if kind == "boxes":
        pairs = overlapping_boxes(found, truth, min_iou=min_iou)
    else:
        pairs = overlapping_masks(found, truth, areas_px(found.masks), min_iou=min_iou)
    pairs_of = zip(pairs.detections.tolist(), pairs.truths.tolist(), strict=True)
    return dict(zip(pairs_of, pairs.iou.tolist(), strict=True))


both = pytest.mark.parametrize("kind", ["boxes", "masks"])


@both
def test_a_third_shared_is_a_third(kind):
    found, truth = instances((0, 0, (0, 0, 2, 2))), instances((0, 0, (1, 0, 3, 2)))
    assert overlapping(found, truth, kind=kind) == {(0, 0): pytest.approx(1 / 3)}


@both
def test_a_crowd_divides_by_the_detection_alone(kind):
    found, truth = instances((0, 0, (0, 0, 2, 2))), instances((0, 0, (0, 0, 20, 20)), crowd=[0])
    assert overlapping(found, truth, kind=kind) == {(0, 0): 1.0}


@both
def test_other_pictures_and_classes_are_never_paired(kind):
    box = (3, 3, 9, 9)
    found = instances((0, 0, box), (1, 1, box))
    truth = instances((0, 1, box), (1, 0, box), (1, 1, box), (2, 0, box))
    assert overlapping(found, truth, kind=kind) == {(1, 2): 1.0}


@both
def test_pairs_below_the_smallest_iou_are_left_out(kind):
    found, truth = instances((0, 0, (0, 0, 4, 4))), instances((0, 0, (0, 0, 4, 1)), (0, 0, (0, 0, 4, 2)))
    assert overlapping(found, truth, kind=kind, min_iou=0.3) == {(0, 1): 0.5}


@both
@pytest.mark.parametrize("sides", [((), ()), (((0, 0, (0, 0, 2, 2)),), ()), ((), ((0, 0, (0, 0, 2, 2)),))])
def test_nothing_on_one_side_overlaps_nothing(kind, sides):
    found, truth = (instances(*side) for side in sides)
    assert overlapping(found, truth, kind=kind) == {}


def test_an_empty_mask_and_an_empty_box_overlap_nothing():
    found, truth = instances((0, 0, (3, 3, 3, 9))), instances((0, 0, (3, 3, 3, 9)), (0, 0, (0, 0, 9, 9)))
    for kind in ("boxes", "masks"):
        assert overlapping(found, truth, kind=kind) == {}


def test_a_crowded_picture_is_compared_in_steps_and_loses_no_pair():
    """250,000 pairs, of which 500 are the same box."""
    boxes = [(0, 0, (x % 20, x // 20 % 19, x % 20 + 1, x // 20 % 19 + 1)) for x in range(500)]
    pairs = overlapping(instances(*boxes), instances(*boxes), kind="boxes")
    assert pairs == {
        (one, other): 1.0 for one in range(500) for other in range(500) if boxes[one][2] == boxes[other][2]
    }
