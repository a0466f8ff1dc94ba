"""Lessons: windows with their true figures, kept and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.instances import GroundTruth
from maskloop.errors import IntegrityError
from maskloop.masks import encode_masks
from monitoring.features.observation import Observation
from monitoring.quality.lessons import (
    ShiftedPictures,
    describe_reference,
    describe_window,
    load_lessons,
    save_lessons,
    write_lessons,
)
from monitoring.quality.signs import join_signs, read_signs
from tests.unit.monitoring.quality.test_signs import found


def shifted(kind: str, width_px: int, *, num: int = 4) -> ShiftedPictures:
    """Return pictures with one object of ten columns, of which so many are found."""
    masks = np.zeros((1, 20, 40), bool)
    masks[0, :10, :10] = True
    truth = GroundTruth("", "belt", 20, 40, np.array([0]), encode_masks(masks), np.array([False]))
    answer = found((0, 0, width_px, 0.9))
    seen = Observation({"sharpness": 2.0}, (0.0, 1.0))
    signs = read_signs((answer, answer), seen, num_classes=2, score_threshold=0.5, embedding_length=2)
    return ShiftedPictures(kind, join_signs([signs] * num), [answer] * num, [truth] * num)


def test_figures_of_every_window_are_those_of_its_pictures_and_nan_without_instances() -> None:
    lessons = write_lessons(
        [shifted("as it is", 9), shifted("blur", 6)],
        weights_digest="w" * 64,
        class_names=("bolt", "nut"),
        score_threshold=0.5,
    )
    assert lessons.kinds == ("as it is",) * 6 + ("blur",) * 6
    assert lessons.figures[:6, 0, 0] == pytest.approx([0.9] * 6)
    assert lessons.figures[6:, 0, 0] == pytest.approx([0.6] * 6)
    assert lessons.figures[0, 0, 1] == pytest.approx(0.9)  # right at nine of ten thresholds
    assert np.isnan(lessons.figures[:, 1]).all()
    assert (lessons.num_instances.tolist(), lessons.num_pictures) == ([4, 0], 4)


def test_the_reference_described_by_itself_is_neutral() -> None:
    signs = shifted("as it is", 10).signs
    agreement, score, count, certain, area, sharpness, distance = describe_window(
        signs, describe_reference(signs)
    )[0]
    assert (agreement, score, count, certain) == pytest.approx((1.0, 0.9, 1.0, 1.0 / 0.9))
    assert (area, sharpness, distance) == pytest.approx((0.0, 0.0, 0.0))


def test_half_the_detections_and_twice_the_area_are_told_as_such() -> None:
    reference = describe_reference(shifted("as it is", 5).signs)
    signs = join_signs([shifted("zoom", 10, num=1).signs, shifted("zoom", 10, num=1).signs])
    signs.counts[1], signs.area_sums[1] = 0.0, 0.0
    described = describe_window(signs, reference)[0]
    assert described[2] == pytest.approx(0.5)
    assert described[4] == pytest.approx(np.log(2.0), abs=0.01)


def test_lessons_are_read_as_they_were_kept(tmp_path: Path) -> None:
    lessons = write_lessons(
        [shifted("as it is", 9), shifted("blur", 6)],
        weights_digest="w" * 64,
        class_names=("bolt", "nut"),
        score_threshold=(0.5, 0.6),
    )
    save_lessons(lessons, tmp_path / "quality" / "lessons.npz")
    kept = load_lessons(tmp_path / "quality" / "lessons.npz")
    assert kept is not None
    assert (kept.weights_digest, kept.class_names, kept.kinds) == ("w" * 64, ("bolt", "nut"), lessons.kinds)
    assert np.array_equal(kept.windows, lessons.windows)
    assert np.array_equal(kept.figures, lessons.figures, equal_nan=True)
    assert kept.reference.embedding_mean.tolist() == [0.0, 1.0]


def test_there_are_no_lessons_before_the_first_check_and_damaged_ones_say_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "lessons.npz"
    assert load_lessons(file) is None
    file.write_bytes(b"PK\x03\x04 not a table")
    with pytest.raises(IntegrityError, match="cannot be read") as raised:
        load_lessons(file)
    assert raised.value.hint == "delete the file: `maskloop monitor` makes it again"
