"""The features of what a model found."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.instances import Detections
from maskloop.masks import encode_masks
from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.answers import ANSWER_FEATURES, CLASS_FEATURES
from monitoring.features.feature import FeatureTable
from tests.fakes.drift_data import painted

TABLE = FeatureTable(ANSWER_FEATURES, CLASS_FEATURES)


def found(*instances: tuple[tuple[int, int, int, int], float, int], side_px: int = 20) -> Detections:
    """Build detections from (box, score, class index); each mask fills its box."""
    masks = np.zeros((len(instances), side_px, side_px), dtype=bool)
    for mask, ((x0, y0, x1, y1), _, _) in zip(masks, instances, strict=True):
        mask[y0:y1, x0:x1] = True
    return Detections(
        side_px,
        side_px,
        np.array([box for box, _, _ in instances], dtype=np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in instances], dtype=np.float32),
        np.array([index for _, _, index in instances], dtype=np.int64),
        encode_masks(masks),
    )


def features_of(detections: Detections, class_names: list[str]) -> dict[str, float]:
    return TABLE.measure(AnsweredPicture(painted(1, 2, 3), detections), class_names)


def test_answers_have_the_statistics_computed_by_hand() -> None:
    features = features_of(found(((0, 0, 10, 5), 0.9, 1), ((5, 5, 10, 10), 0.3, 1)), ["bolt", "nut"])
    assert features == pytest.approx(
        {
            "count": 2,
            "count of bolt": 0,
            "count of nut": 2,
            "mean_score": 0.6,
            "max_score": 0.9,
            "low_score_share": 0.5,
            "mean_relative_area": (50 + 25) / 2 / 400,
            "mean_fill": 1.0,
            "mean_aspect": 1.5,
        },
        abs=1e-6,
    )


def test_without_detections_only_counts_exist_and_the_rest_is_not_missed() -> None:
    features = features_of(found(), ["bolt"])
    assert features == {"count": 0, "count of bolt": 0}
    expected = [one.name for one in ANSWER_FEATURES if one.is_expected(features)]
    assert expected == ["count"]


def test_a_box_without_width_gives_finite_shapes() -> None:
    features = features_of(found(((3, 3, 3, 9), 0.5, 0)), ["bolt"])
    assert features["mean_aspect"] == 6.0
    assert features["mean_fill"] == 0.0
