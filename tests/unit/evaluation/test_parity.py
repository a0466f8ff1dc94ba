"""A model and its export, compared instance by instance, in cases counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.instances import Detections
from evaluation.parity import Parity, compare_pictures, find_disparities, summarise_parity
from maskloop.masks import encode_masks

SIDE_PX = 20


def answer(*instances, side_px=SIDE_PX):
    """Detections from (first row, rows, score, class): columns 0 to 4, so areas are 5 times the rows."""
    masks = np.zeros((len(instances), side_px, side_px), dtype=bool)
    for mask, (row, rows, _, _) in zip(masks, instances, strict=True):
        mask[row : row + rows, :5] = True
    boxes = [[0, row, 5, row + rows] for row, rows, _, _ in instances]
    return Detections(
        side_px,
        side_px,
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array([score for _, _, score, _ in instances], dtype=np.float32),
        np.array([kind for _, _, _, kind in instances], dtype=np.int64),
        encode_masks(masks),
    )


def compare(model, export):
    return compare_pictures(model, export, score_threshold=0.5)


def test_equal_answers_have_an_iou_of_one_and_no_shift():
    both = answer((0, 5, 0.9, 0), (10, 5, 0.8, 1))
    found = compare(both, both)
    assert (found.num_model, found.num_export, found.num_either) == (2, 2, 2)
    assert found.iou == (1.0, 1.0)
    assert found.score_shift == (0.0, 0.0)


def test_iou_is_the_common_area_over_the_whole_of_each_pair():
    found = compare(answer((0, 10, 0.9, 0)), answer((0, 8, 0.7, 0)))
    assert found.iou == (0.8,)
    assert found.score_shift == pytest.approx((-0.2,), abs=1e-6)


def test_a_score_that_slips_below_the_threshold_is_still_found_by_both():
    found = compare(answer((0, 5, 0.51, 0)), answer((0, 5, 0.49, 0)))
    assert (found.num_model, found.num_export, found.num_either, len(found.iou)) == (1, 0, 1, 1)


def test_instances_nobody_is_confident_of_do_not_count():
    found = compare(answer((0, 5, 0.4, 0)), answer((0, 5, 0.4, 0)))
    assert (found.num_either, found.iou) == (0, ())


def test_a_missed_one_an_invented_one_and_one_of_another_class_are_not_found_by_both():
    model = answer((0, 5, 0.9, 0), (6, 5, 0.8, 0))
    export = answer((6, 5, 0.9, 1), (13, 5, 0.8, 0))
    parity = summarise_parity([compare(model, export)])
    assert (parity.num_either, parity.num_both, parity.mask_iou, parity.share_both) == (4, 0, 0.0, 0.0)


def test_one_instance_stands_for_one_only():
    parity = summarise_parity([compare(answer((0, 10, 0.9, 0)), answer((0, 10, 0.9, 0), (0, 9, 0.8, 0)))])
    assert (parity.num_either, parity.num_both, parity.mask_iou) == (2, 1, 1.0)


def test_equal_masks_do_not_change_partners_because_one_is_below_the_threshold():
    both = answer((0, 10, 0.9, 0), (0, 10, 0.2, 0))
    parity = summarise_parity([compare(both, both)])
    assert (parity.num_either, parity.num_both, parity.largest_score_shift) == (1, 1, 0.0)


def test_every_instance_of_all_pictures_counts_the_same():
    first = compare(answer((0, 10, 0.9, 0)), answer((0, 7, 0.9, 0)))
    second = compare(answer((0, 5, 0.9, 0), (6, 5, 0.9, 0)), answer((0, 5, 0.9, 0), (6, 5, 0.6, 0)))
    parity = summarise_parity([first, second])
    assert parity.mask_iou == pytest.approx((0.7 + 1 + 1) / 3)
    assert parity.largest_score_shift == pytest.approx(0.3, abs=1e-6)
    assert (parity.num_pictures, parity.num_model, parity.num_export, parity.share_both) == (2, 3, 3, 1.0)


def test_answers_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="of its size"):
        compare(answer(), answer(side_px=21))


def parity(num_either=100, num_both=100, mask_iou=0.99):
    return Parity(10, num_either, num_both, num_either, num_both, mask_iou, 0.0)


@pytest.mark.parametrize(
    ("measured", "required", "said"),
    [
        (parity(mask_iou=0.98), 0.98, []),
        (parity(mask_iou=0.9799), 0.98, ["mask IoU"]),
        (parity(num_both=95), 0.95, []),
        (parity(num_both=94), 0.95, ["share found by both is 0.9400"]),
        (parity(num_both=50, mask_iou=0.6), 0.95, ["mask IoU", "share"]),
        (parity(mask_iou=math.nan), 0.95, ["mask IoU"]),
        (summarise_parity([]), 0.95, ["nothing was compared"]),
        (summarise_parity([compare(answer(), answer())]), 0.0, ["nothing was compared"]),
    ],
)
def test_both_figures_must_reach_what_is_required_and_something_must_be_there(measured, required, said):
    reasons = find_disparities(measured, required=required)
    assert len(reasons) == len(said)
    assert all(part in reason for part, reason in zip(said, reasons, strict=True))


ANSWERS = st.lists(
    st.tuples(
        st.integers(0, 14), st.integers(1, 6), st.sampled_from([0.2, 0.45, 0.55, 0.9]), st.integers(0, 1)
    ),
    max_size=5,
).map(lambda some: answer(*sorted(some, key=lambda one: -one[2])))


@given(ANSWERS, ANSWERS)
def test_no_side_is_preferred_and_nothing_is_counted_twice(model, export):
    there, back = compare(model, export), compare(export, model)
    assert sum(there.iou) == pytest.approx(sum(back.iou))
    assert there.num_either == back.num_either
    assert max(there.num_model, there.num_export) <= there.num_either <= there.num_model + there.num_export
    assert len(there.iou) <= there.num_either
    assert all(0.5 <= iou <= 1.0 for iou in there.iou)


@given(ANSWERS)
def test_a_model_is_on_a_par_with_itself(model):
    found = summarise_parity([compare(model, model)])
    assert found.num_both == found.num_either == found.num_model
    assert found.mask_iou == (1.0 if found.num_model else 0.0)
