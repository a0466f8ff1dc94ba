"""Signs of one picture by hand, and windows as sums of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.instances import Detections
from maskloop.masks import encode_masks
from monitoring.features.observation import Observation
from monitoring.quality.signs import Signs, join_signs, no_signs, read_signs


def found(*boxes: tuple[int, int, int, float]) -> Detections:
    """Ten rows of a 20 x 40 px picture for each (class, left, width, score), best score first."""
    masks = np.zeros((len(boxes), 20, 40), bool)
    for row, (_, left, width, _score) in enumerate(boxes):
        masks[row, :10, left : left + width] = True
    corners = [[left, 0, left + width, 10] for _, left, width, _ in boxes]
    return Detections(
        20,
        40,
        np.array(corners, np.float32).reshape(-1, 4),
        np.array([score for *_, score in boxes], np.float32),
        np.array([index for index, *_ in boxes], np.int64),
        encode_masks(masks),
    )


def read(first: Detections, second: Detections, **sharpness: float | None) -> Signs:
    seen = Observation(dict(sharpness), (1.0, 2.0))
    return read_signs((first, second), seen, num_classes=2, score_threshold=0.5, embedding_length=2)


def test_signs_of_a_picture_are_those_computed_by_hand() -> None:
    first = found((0, 0, 10, 0.9), (0, 20, 10, 0.8), (1, 30, 8, 0.4))
    second = found((0, 5, 10, 0.9), (1, 30, 8, 0.7))
    signs = read(first, second, sharpness=2.5)
    assert signs.counts.tolist() == [[2.0, 0.0]]
    assert signs.score_sums[0] == pytest.approx([1.7, 0.0])
    assert signs.agreements[0] == pytest.approx([1 / 3, 0.0])  # 5 of 15 columns are shared
    assert signs.counts_in_view.tolist() == [[1.0, 1.0]]
    assert signs.soft_counts[0] == pytest.approx([1.7, 0.4])
    assert signs.area_sums[0] == pytest.approx([2 * 100 / 800, 0.0])
    assert signs.sharpness.tolist() == [2.5]
    assert signs.embeddings.tolist() == [[1.0, 2.0]]


def test_an_unknown_sharpness_and_an_embedding_of_another_length_are_nan() -> None:
    nothing = found()
    seen = Observation({}, (1.0, 2.0, 3.0))
    signs = read_signs((nothing, nothing), seen, num_classes=2, score_threshold=0.5, embedding_length=2)
    assert np.isnan(signs.sharpness).all()
    assert np.isnan(signs.embeddings).all()
    assert signs.counts.tolist() == [[0.0, 0.0]]


def test_pictures_are_joined_and_taken_with_repetitions() -> None:
    one, two = read(found((0, 0, 4, 0.9)), found()), read(found((1, 0, 4, 0.6)), found())
    both = join_signs([no_signs(2, 2), one, two])
    assert len(both) == 2
    assert both.take(np.array([1, 1, 0])).counts.tolist() == [[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]


def test_a_single_view_and_no_picture_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="one view"):
        read_signs((found(),), Observation({}), num_classes=1, score_threshold=0.5, embedding_length=0)
    with pytest.raises(ValueError, match="no picture"):
        join_signs([])
