"""Errors put into labels at known places, and how a ranking of them is measured."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.health.injection import corrupt
from benchmarks.health.ranking import auroc, measure
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from evaluation.instances import Detections
from evaluation.label_errors import LABEL_ERROR_KINDS
from maskloop.masks import areas_px, boxes_xyxy, encode_masks

SIDE_PX = 100


@pytest.fixture(scope="module")
def pictures() -> list[LabelledPicture]:
    """Forty pictures of four blocks of 20 x 20 px each, of three classes, with room around them."""
    made = []
    for number in range(40):
        masks = np.zeros((4, SIDE_PX, SIDE_PX), dtype=bool)
        for mask, (left, top) in zip(masks, ((5, 5), (30, 5), (5, 30), (30, 30)), strict=True):
            mask[top : top + 20, left : left + 20] = True
        classes = (number % 3, (number + 1) % 3, number % 3, 2)
        instances = tuple(map(LabelledInstance, classes, encode_masks(masks)))
        name = f"{number:02}"
        made.append(
            LabelledPicture(
                name, name, name, SIDE_PX, SIDE_PX, "here", name, "train", "data-v1", "human", instances
            )
        )
    return made


def perfect(picture: LabelledPicture) -> Detections:
    masks = tuple(one.mask for one in picture.instances)
    return Detections(
        SIDE_PX,
        SIDE_PX,
        boxes_xyxy(masks).astype(np.float32),
        np.ones(len(masks), np.float32),
        np.array([one.class_index for one in picture.instances]),
        masks,
    )


def test_each_kind_gets_its_share_of_the_instances_and_all_others_stay(
    pictures: list[LabelledPicture],
) -> None:
    corrupted = corrupt(pictures, 3, share=0.05, seed=1)
    assert corrupted.count() == dict.fromkeys(LABEL_ERROR_KINDS, 8)
    for before, after, kinds in zip(pictures, corrupted.pictures, corrupted.kinds, strict=True):
        assert len(after.instances) == len(kinds)
        right = [one for one, kind in zip(after.instances, kinds, strict=True) if not kind]
        assert set(right) <= set(before.instances)
        wrong = [one for one, kind in zip(after.instances, kinds, strict=True) if kind]
        assert not set(wrong) & set(before.instances)
        assert (areas_px([one.mask for one in after.instances]) > 0).all()


def test_the_same_seed_puts_the_same_errors_in(pictures: list[LabelledPicture]) -> None:
    assert corrupt(pictures, 3, share=0.05, seed=1) == corrupt(pictures, 3, share=0.05, seed=1)
    assert corrupt(pictures, 3, share=0.05, seed=1) != corrupt(pictures, 3, share=0.05, seed=2)


def test_a_perfect_model_finds_every_error_before_any_right_label(pictures: list[LabelledPicture]) -> None:
    corrupted = corrupt(pictures, 3, share=0.05, seed=1)
    figures = measure(corrupted, {one.digest: perfect(one) for one in pictures}, 3)
    assert {kind: figures[kind]["AUROC"] for kind in figures} == dict.fromkeys(LABEL_ERROR_KINDS, 1.0)
    assert {kind: figures[kind]["AUROC by any kind"] for kind in figures} == dict.fromkeys(
        LABEL_ERROR_KINDS, 1.0
    )
    assert {kind: figures[kind]["right"] for kind in figures} == dict.fromkeys(LABEL_ERROR_KINDS, 8)
    assert {kind: figures[kind]["precision"] for kind in figures} == dict.fromkeys(LABEL_ERROR_KINDS, 1.0)


def test_the_area_under_the_curve_counts_ties_half_and_needs_both_kinds() -> None:
    scores = np.array([0.9, 0.2, 0.2, 0.1])
    assert auroc(scores, np.array([True, True, False, False])) == 0.875
    assert auroc(scores, np.ones(4, dtype=bool)) is None
