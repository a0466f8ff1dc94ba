"""Crowd regions that are single objects are found by their class or their shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dataset.bends.crowds import find_classes_of_crowds, find_crowds_by_shape, is_pierced_or_split
from dataset.coco.document import CocoFile
from dataset.coco.validation import Reading
from tests.fakes.bent_batches import as_rle, bends_of, draw_l, draw_ring, evidence_of, write_masks
from tests.fakes.contours import Mask


def with_flags(masks: list[Mask], flags: list[int], classes: list[int] | None = None) -> CocoFile:
    coco = write_masks(masks, as_rle)
    classes = classes or [1] * len(masks)
    each = zip(coco.annotations, flags, classes, strict=True)
    annotations = tuple({**one, "iscrowd": flag, "category_id": category} for one, flag, category in each)
    return replace(coco, annotations=annotations)


RINGS, LS = [draw_ring(number) for number in range(2)], [draw_l(number) for number in range(3)]


def test_exactly_the_masks_with_a_hole_being_crowds_is_found_and_mended() -> None:
    coco = with_flags([*RINGS, *LS], [1, 1, 0, 0, 0])
    report, problems, _ = bends_of(coco)
    assert [problem.code for problem in problems] == ["crowds-by-shape"]
    assert "2 masks with a hole or several parts are crowd regions" in problems[0].message
    assert report.crowds_per_class == (2, 0)
    report, _, mended = bends_of(coco, is_mending=True)
    assert report.instances_per_class == (5, 0)
    assert mended.num_by_code == {"crowds-by-shape": 2}


@pytest.mark.parametrize(
    ("masks", "flags"),
    [
        ([*RINGS, *LS], [1, 0, 0, 0, 0]),
        ([*RINGS, *LS], [1, 1, 1, 0, 0]),
        ([*RINGS, *LS], [0, 0, 0, 0, 0]),
        ([*RINGS, LS[0]], [1, 1, 0]),
    ],
    ids=["a ring is none", "a plain mask is one", "there is none", "too few others"],
)
def test_crowds_that_other_things_explain_are_left(masks: list[Mask], flags: list[int]) -> None:
    assert find_crowds_by_shape(evidence_of(with_flags(masks, flags))) is None


def test_a_class_of_crowds_alone_is_read_as_objects_only_when_asked_to() -> None:
    coco = with_flags([*RINGS, *LS], [1, 1, 0, 0, 0], [1, 1, 2, 2, 2])
    report, problems, _ = bends_of(coco)
    assert problems == ()  # the validation tells it, as an error
    assert [problem.code for problem in report.blocking] == ["class-of-crowds"]
    report, problems, _ = bends_of(coco, is_mending=True)
    assert report.blocking == ()
    assert report.instances_per_class == (2, 3)
    assert problems[0].message == "mended, as you asked: 2 masks, read as single objects"


@pytest.mark.parametrize("said", ["regions", "instances"])
def test_what_a_person_said_of_crowds_counts_more(said: Any) -> None:
    for flags, classes in (([1, 1, 0, 0, 0], None), ([1, 1, 0, 0, 0], [1, 1, 2, 2, 2])):
        evidence = evidence_of(with_flags([*RINGS, *LS], flags, classes), Reading(crowds=said))
        assert find_classes_of_crowds(evidence) is find_crowds_by_shape(evidence) is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["###", "#.#", "###"], True),
        (["#.#"], True),
        (["#.", ".#"], False),
        (["##", "#."], False),
        (["##", "##"], False),
    ],
    ids=["hole", "parts", "touching at a corner", "notch", "full"],
)
def test_a_hole_or_a_second_part_is_seen(rows: list[str], expected: bool) -> None:
    mask = np.array([[pixel == "#" for pixel in row] for row in rows])
    (one,) = evidence_of(write_masks([mask], as_rle)).annotations
    assert is_pierced_or_split(one) is expected
