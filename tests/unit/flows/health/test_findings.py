"""What is told about each finding."""

from __future__ import annotations

import numpy as np

from dataset.health.copies import CopiedInstance, Place
from dataset.health.outliers import Outlier
from dataset.health.repeats import LabelledTwice
from dataset.health.several_parts import SeveralParts
from dataset.labelled_pictures import LabelledInstance, LabelledPicture, Split
from evaluation.instances import Detections
from evaluation.label_errors import LABEL_ERROR_KINDS, LabelError
from flows.health.drawing import DETECTION_COLOUR, LABEL_COLOUR, LONG_SIDE_PX, OTHER_COLOUR, draw_finding
from flows.health.findings import (
    FACTS,
    KINDS,
    Finding,
    tell_copies,
    tell_label_errors,
    tell_outliers,
    tell_repeats,
    tell_several_parts,
)
from maskloop.masks import Rle, encode_masks

NAMES = ("bolt", "nut")
SIDE_PX = 60


def square(left: int) -> Rle:
    mask = np.zeros((1, SIDE_PX, SIDE_PX), dtype=bool)
    mask[0, 20:30, left : left + 10] = True
    return encode_masks(mask)[0]


def picture(name: str, split: Split = "train", *instances: LabelledInstance) -> LabelledPicture:
    return LabelledPicture(
        name, name, name, SIDE_PX, SIDE_PX, "here", name, split, "data-v1", "human", instances
    )


BOLT, NUT = LabelledInstance(0, square(0)), LabelledInstance(1, square(16))
A, B = picture("a.png", "train", BOLT, NUT), picture("b.png", "test", NUT)
FOUND = Detections(
    SIDE_PX,
    SIDE_PX,
    np.array([[0, 20, 10, 30], [20, 20, 30, 30]], np.float32),
    np.array([0.9, 0.6], np.float32),
    np.array([0, 1]),
    (square(2), square(20)),
)


def test_a_copy_across_splits_names_the_pictures_their_splits_and_contradicting_classes() -> None:
    (finding,) = tell_copies([CopiedInstance((Place(A, 0), Place(B, 0)))], NAMES)
    assert finding.said == (
        "the same instance is in a.png (train), b.png (test), labelled as bolt and as nut"
    )
    assert (finding.score, finding.labels) == (1.0, (0,))


def test_copies_within_one_split_count_only_if_their_classes_contradict_each_other() -> None:
    same, other = picture("c.png", "train", BOLT), picture("d.png", "train", NUT)
    assert tell_copies([CopiedInstance((Place(A, 0), Place(same, 0)))], NAMES) == []
    (finding,) = tell_copies([CopiedInstance((Place(A, 0), Place(other, 0)))], NAMES)
    assert finding.kind == "two-classes"


def test_an_object_labelled_twice_is_told_with_both_classes() -> None:
    (finding,) = tell_repeats([LabelledTwice(A, (0, 1), 0.875)], NAMES)
    assert finding.said == "two labels overlap with an IoU of 0.88: bolt and nut"


def test_an_instance_in_several_parts_is_told_with_both_causes() -> None:
    (finding,) = tell_several_parts([SeveralParts(A, 1, 2, 0.8, 0.25)], NAMES)
    assert (finding.kind, finding.score, finding.labels) == ("several-parts", 0.8 * 0.75, (1,))
    assert finding.said == (
        "nut is in 2 parts, as 25.0% of its class; the second largest has 80% of the largest one's area: "
        "several objects in one annotation, or one object behind something without a label"
    )


def test_outliers_are_told_in_the_terms_of_what_was_measured() -> None:
    size, aspect = tell_outliers(
        [Outlier(A, 0, "size", 0.25, 0.01, 7.0), Outlier(A, 1, "aspect", 8.0, 1.0, 14.0)], NAMES
    )
    assert size.said == "bolt covers 25.000% of the picture; the median of its class is 1.000%"
    assert aspect.said == "nut is 8.00 times as wide as high, the median of its class 1.00"
    assert (size.score, aspect.score) == (0.5, 0.75)


def test_every_kind_of_label_error_has_a_sentence_and_a_kind_with_a_cure() -> None:
    told = {
        kind: tell_label_errors(
            [LabelError(kind, 0.9, "a.png", (0, 1), (0,))], {"a.png": A}, {"a.png": FOUND}, NAMES
        )
        for kind in LABEL_ERROR_KINDS
    }
    assert told["missing"][0].said == "the champion sees bolt (0.90) where no label is"
    assert told["split"][0].said == "the labels bolt and nut cover what the champion sees as bolt (0.90)"
    assert set(KINDS) == {*FACTS, *LABEL_ERROR_KINDS, "several-parts", "size", "aspect"}
    assert all(kind.cure for kind in KINDS.values())


def test_a_drawing_shows_label_and_detection_in_their_colours_and_nearby_labels_in_grey() -> None:
    pixels = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    finding = Finding("border", 0.6, A, (0,), (0,), "said")
    drawn = draw_finding(pixels, finding, FOUND)
    assert max(drawn.shape[:2]) == LONG_SIDE_PX
    colours = {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()}
    assert colours == {(0, 0, 0), LABEL_COLOUR, DETECTION_COLOUR, OTHER_COLOUR}
    without = draw_finding(pixels, finding, None)
    assert DETECTION_COLOUR not in {tuple(colour) for colour in without.reshape(-1, 3).tolist()}
