"""New labels for known pictures: each object once, and no class is lost unless somebody agreed."""

from __future__ import annotations

import numpy as np
import pytest

from dataset.ingestion.relabelling import (
    ClassChange,
    Relabelling,
    compare_labels,
    join_instances,
    judge_relabelling,
)
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from maskloop.masks import encode_masks

CLASSES = ("bolt", "nut")


def bar(length_px: int, class_index: int = 0, *, row: int = 0, is_crowd: bool = False) -> LabelledInstance:
    """An object one pixel high, so that IoUs are quotients of lengths."""
    mask_HW = np.zeros((4, 10), dtype=bool)
    mask_HW[row, :length_px] = True
    return LabelledInstance(class_index, encode_masks(mask_HW[None])[0], is_crowd)


def picture(name: str, *instances: LabelledInstance) -> LabelledPicture:
    return LabelledPicture(
        f"digest of {name}", name, name, 10, 4, "here", name, "train", "data-v1", "human", instances
    )


# --- joining -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length_px", "is_known"), [(10, True), (8, True), (7, False), (1, False)])
def test_masks_of_one_class_that_overlap_by_four_fifths_are_one_object(
    length_px: int, is_known: bool
) -> None:
    old, new = bar(10), bar(length_px)
    expected = ((old,), 1, False) if is_known else ((old, new), 0, False)
    assert join_instances([old], [new]) == expected


def test_an_object_of_another_class_on_a_known_one_is_joined_and_contradicts() -> None:
    old, new = bar(10, 0), bar(10, 1)
    assert join_instances([old], [new]) == ((old, new), 0, True)


def test_an_object_of_another_class_beside_a_known_one_does_not_contradict() -> None:
    old, new = bar(10, 0), bar(10, 1, row=2)
    assert join_instances([old], [new]) == ((old, new), 0, False)


def test_a_crowd_region_on_an_object_of_its_class_is_another_thing_and_no_contradiction() -> None:
    old, new = bar(10), bar(10, is_crowd=True)
    assert join_instances([old], [new]) == ((old, new), 0, False)


def test_an_object_that_is_known_once_does_not_contradict_by_a_second_class_on_it() -> None:
    known = [bar(10, 0), bar(10, 1)]
    assert join_instances(known, [bar(9, 1)]) == (tuple(known), 1, False)


def test_a_contradiction_is_not_forgotten_over_the_next_instance() -> None:
    _, num_known, contradicts = join_instances([bar(10, 0)], [bar(10, 1), bar(10, 0), bar(5, 0, row=3)])
    assert (num_known, contradicts) == (1, True)


@pytest.mark.parametrize("side", ["known", "new"])
def test_where_one_side_has_nothing_the_other_stays_as_it_is(side: str) -> None:
    some = (bar(10), bar(4, 1, row=2))
    joined = join_instances(some, []) if side == "known" else join_instances([], some)
    assert joined == (some, 0, False)


def test_joining_the_same_labels_again_changes_nothing() -> None:
    labels = (bar(10), bar(4, 1, row=2), bar(6, 1, row=3, is_crowd=True))
    assert join_instances(labels, labels) == (labels, 3, False)


# --- comparing -----------------------------------------------------------------------------------


def test_each_class_is_counted_before_and_after_and_names_the_pictures_that_lost_it() -> None:
    first, second = (
        picture("first.png", bar(3), bar(4, row=1), bar(5, 1, row=2)),
        picture("second.png", bar(6)),
    )
    new = {first.digest: (bar(3),), second.digest: (bar(6), bar(2, 1, row=3))}
    assert compare_labels([first, second], new, CLASSES) == (
        ClassChange("bolt", 3, 2, ()),
        ClassChange("nut", 1, 1, ("first.png",)),
    )


def test_crowd_regions_are_neither_counted_nor_missed() -> None:
    one = picture("one.png", bar(3, is_crowd=True), bar(4, row=1))
    assert compare_labels([one], {one.digest: (bar(3, is_crowd=True),)}, CLASSES)[0] == ClassChange(
        "bolt", 1, 0, ("one.png",)
    )


@pytest.mark.parametrize(
    ("new", "is_gone"),
    [
        ([bar(4, row=1)], True),
        ([bar(4, row=1), bar(3, 1, is_crowd=True)], True),
        ([bar(4, row=1), bar(2, is_crowd=True)], False),
        ([bar(4, row=1), bar(3)], False),
    ],
    ids=["left out", "of another class", "drawn anew", "one object"],
)
def test_a_crowd_region_that_nothing_stands_in_for_is_gone(
    new: list[LabelledInstance], is_gone: bool
) -> None:
    one = picture("one.png", bar(3, is_crowd=True), bar(4, row=1))
    changes = compare_labels([one], {one.digest: tuple(new)}, CLASSES)
    assert changes[0].pictures_without_crowd == (("one.png",) if is_gone else ())
    codes = [problem.code for problem in judge_relabelling(changes, "ask")]
    assert codes == (["crowd-regions-gone"] if is_gone else [])


def test_crowd_regions_that_are_gone_are_a_warning_that_says_what_becomes_of_them() -> None:
    gone = ClassChange("bolt", 1, 1, (), ("a.png", "b.png"))
    (problem,) = judge_relabelling([gone], "replace")
    assert (problem.severity, problem.example) == ("warning", "a.png")
    assert problem.message == (
        "crowd regions of 'bolt' are gone from 2 pictures: what they covered is learned as background"
    )
    assert "--add" in problem.hint


# --- judging -------------------------------------------------------------------------------------

LOST = (ClassChange("bolt", 5, 3, ("b.png", "c.png")), ClassChange("nut", 2, 0, ("a.png",)))


@pytest.mark.parametrize("rule", ["ask", "add"])
def test_a_class_taken_away_blocks_the_batch_and_names_both_ways_out(rule: Relabelling) -> None:
    (problem,) = judge_relabelling(LOST, rule)
    assert (problem.severity, problem.code, problem.example) == ("error", "class-taken-away", "b.png")
    assert problem.message == (
        "the new labels take 'bolt' from 2 pictures that had it (5 instances become 3), "
        "'nut' from 1 picture that had it (2 instances become 0)"
    )
    assert "--add" in problem.hint
    assert "--replace" in problem.hint


def test_a_loss_somebody_agreed_to_is_a_warning_that_says_where_the_old_labels_are() -> None:
    (problem,) = judge_relabelling(LOST, "replace")
    assert (problem.severity, problem.example) == ("warning", "b.png")
    assert "in the version before" in problem.hint
    assert "--replace" not in problem.hint


def test_fewer_instances_are_a_warning_for_classes_that_every_picture_kept() -> None:
    changes = (
        *LOST,
        ClassChange("gear", 4, 3, ()),
        ClassChange("pin", 2, 2, ()),
        ClassChange("cap", 1, 2, ()),
    )
    problems = judge_relabelling(changes, "replace")
    assert [problem.code for problem in problems] == ["class-taken-away", "fewer-instances"]
    assert problems[1].message.endswith("have fewer instances now: 'gear' 4 to 3")


@pytest.mark.parametrize("rule", ["ask", "add", "replace"])
def test_labels_that_only_grow_are_not_worth_a_word(rule: Relabelling) -> None:
    assert judge_relabelling([ClassChange("bolt", 2, 3, ()), ClassChange("nut", 0, 0, ())], rule) == ()
