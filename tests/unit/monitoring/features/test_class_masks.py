"""The features of a class's masks."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.instances import Detections
from maskloop.masks import encode_masks
from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.class_masks import MASK_FEATURES
from monitoring.features.feature import FeatureTable
from monitoring.features.mask_shapes import measure_shapes
from monitoring.features.table import FEATURES
from tests.fakes.drift_data import painted

NAMES = ["bolt", "nut", "gear"]
TABLE = FeatureTable((), MASK_FEATURES)


def answer() -> AnsweredPicture:
    """Return two bolts, one of them at the edge and in two parts, and a nut with a hole over the other."""
    masks = np.zeros((3, 20, 20), bool)
    masks[0, 0:2, 0:5] = masks[0, 4:6, 0:5] = True
    masks[1, 10:14, 10:15] = True
    masks[2, 12:15, 10:13] = True
    masks[2, 13, 11] = False
    boxes = np.array([[0, 0, 5, 6], [10, 10, 15, 14], [10, 12, 13, 16]], np.float32)
    scores, classes = np.array([0.9, 0.7, 0.5], np.float32), np.array([0, 0, 1], np.int64)
    return AnsweredPicture(painted(1, 2, 3), Detections(20, 20, boxes, scores, classes, encode_masks(masks)))


def test_each_class_has_the_means_computed_by_hand() -> None:
    """The bolt has 20 px and the nut 8, of which 6 lie in the bolt."""
    seen = answer()
    complexity = measure_shapes(seen.detections.masks).complexity
    found = TABLE.measure(seen, NAMES)
    assert found == pytest.approx(
        {
            "score of bolt": 0.8,
            "area of bolt": 20 / 400,
            "fill of bolt": (20 / 30 + 1.0) / 2,
            "complexity of bolt": complexity[:2].mean(),
            "fragments of bolt": 1.5,
            "holes of bolt": 0.0,
            "overlap of bolt": 5 / 8 / 2,
            "border share of bolt": 0.5,
            "score of nut": 0.5,
            "area of nut": 8 / 400,
            "fill of nut": 8 / 12,
            "complexity of nut": complexity[2],
            "fragments of nut": 1.0,
            "holes of nut": 1.0,
            "overlap of nut": 5 / 8,
            "border share of nut": 0.0,
        },
        abs=1e-6,
    )


def test_a_class_that_is_not_shown_has_no_masks_and_is_not_missed() -> None:
    features = FEATURES.measure(answer(), NAMES)
    rows = [kind.of_class(name) for kind in MASK_FEATURES for name in NAMES]
    assert {row.class_name for row in rows if row.is_expected(features)} == {"bolt", "nut"}
    assert {row.name for row in rows if row.is_expected(features)} <= features.keys()


def test_masks_of_a_sample_that_says_nothing_of_its_class_are_not_missed() -> None:
    row = MASK_FEATURES[0].of_class("bolt")
    assert not row.is_expected({})
    assert not row.is_expected({"count of bolt": None})
    assert row.is_expected({"count of bolt": 2.0})


def test_every_shape_is_found_by_its_name() -> None:
    for kind in MASK_FEATURES:
        found = FEATURES.find(f"{kind.prefix}border of nut")
        assert found is not None
        assert (found.class_name, found.needs) == ("border of nut", "instances")
