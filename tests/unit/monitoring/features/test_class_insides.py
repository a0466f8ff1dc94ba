"""What a class looks like inside its masks, as features of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evaluation.instances import NUM_INSIDES, Detections
from maskloop.masks import encode_masks
from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.class_insides import INSIDE_FEATURES
from monitoring.features.feature import FeatureTable
from monitoring.features.table import FEATURES
from tests.fakes.drift_data import painted

NAMES = ["bolt", "nut", "gear"]
TABLE = FeatureTable((), INSIDE_FEATURES)


def answer(insides: Sequence[Sequence[float]] | None) -> AnsweredPicture:
    """Return two bolts and a nut."""
    masks = np.ones((3, 20, 20), bool)
    boxes = np.array([[0, 0, 20, 20]] * 3, np.float32)
    scores, classes = np.array([0.9, 0.7, 0.5], np.float32), np.array([0, 0, 1], np.int64)
    numbers = None if insides is None else np.array(insides, np.float32)
    return AnsweredPicture(
        painted(1, 2, 3), Detections(20, 20, boxes, scores, classes, encode_masks(masks), numbers)
    )


def test_each_number_of_a_class_is_the_mean_over_its_instances() -> None:
    numbers = np.arange(1, NUM_INSIDES + 1)
    found = TABLE.measure(answer([numbers.tolist(), (numbers + 2).tolist(), (-numbers).tolist()]), NAMES)
    assert found == {
        **{f"inside {number} of bolt": number + 1.0 for number in numbers},
        **{f"inside {number} of nut": -number for number in numbers},
    }


def test_an_answer_without_the_numbers_has_none_of_the_features_and_they_are_missed() -> None:
    features = FEATURES.measure(answer(None), NAMES)
    assert not [name for name in features if name.startswith("inside")]
    rows = [kind.of_class(name) for kind in INSIDE_FEATURES for name in NAMES]
    assert {row.class_name for row in rows if row.is_expected(features)} == {"bolt", "nut"}


def test_people_read_what_a_number_is_about() -> None:
    seventh = FEATURES.find("inside 7 of nut")
    assert seventh is not None
    assert seventh.label == "texture of nut no. 7"


def test_numbers_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="insides"):
        answer([[1.0] * (NUM_INSIDES + 1)] * 3)
    with pytest.raises(ValueError, match="insides"):
        answer([[1.0] * NUM_INSIDES] * 2)


def test_selection_and_other_classes_keep_each_instances_own_numbers() -> None:
    found = answer([[float(row)] * NUM_INSIDES for row in (1, 2, 3)]).detections
    chosen = found.select(np.array([True, False, True]))
    assert chosen.insides is not None
    assert chosen.insides[:, 0].tolist() == [1.0, 3.0]
    renamed = found.reclassified([-1, 0])
    assert renamed.insides is not None
    assert renamed.insides[:, 0].tolist() == [3.0]
