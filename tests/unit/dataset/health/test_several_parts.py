"""Labels in several parts, in classes whose instances are otherwise in one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.health.several_parts import MIN_ONE_PART, comparable_parts, find_several_parts
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from maskloop.masks import encode_masks

SIDE_PX = 40
WHOLE = (2, 2, 12, 12)


def blocks(*boxes):
    """One mask of some rectangles."""
    mask = np.zeros((1, SIDE_PX, SIDE_PX), dtype=bool)
    for left, top, right, bottom in boxes:
        mask[0, top:bottom, left:right] = True
    return encode_masks(mask)[0]


def picture(digest, *masks, class_index=0, is_crowd=False):
    instances = tuple(LabelledInstance(class_index, mask, is_crowd) for mask in masks)
    return LabelledPicture(
        digest, digest, digest, SIDE_PX, SIDE_PX, "here", digest, "train", "data-v1", "human", instances
    )


def wholes(number=MIN_ONE_PART):
    return [picture(f"whole-{index:02}", blocks(WHOLE)) for index in range(number)]


TWO_WHEELS = blocks(WHOLE, (22, 2, 30, 12))


def test_two_objects_in_one_annotation_are_found_with_their_sizes_and_how_rare_that_is():
    (found,) = find_several_parts([*wholes(), picture("pair", TWO_WHEELS)], 1)
    assert (found.picture.digest, found.label, found.num_parts) == ("pair", 0, 2)
    assert found.relative_area == pytest.approx(80 / 100)
    assert found.share == pytest.approx(1 / (MIN_ONE_PART + 1))
    assert found.score == pytest.approx(0.8 * MIN_ONE_PART / (MIN_ONE_PART + 1))


def test_the_oddest_for_its_class_is_listed_first():
    """Of class 1, three in 23 are in parts; of class 0, one in 21."""
    others = [picture(f"other-{index:02}", blocks(WHOLE), class_index=1) for index in range(20)]
    frequent = [picture(f"frequent-{index}", TWO_WHEELS, class_index=1) for index in range(3)]
    uneven = picture("uneven", blocks(WHOLE, (22, 2, 24, 12)))
    pictures = [*wholes(), *others, *frequent, uneven, picture("rare", TWO_WHEELS)]
    found = [one.picture.digest for one in find_several_parts(pictures, 2)]
    assert found == ["rare", "frequent-0", "frequent-1", "frequent-2", "uneven"]


def test_a_class_in_which_parts_are_normal_says_nothing():
    pairs = [picture(f"pair-{index:02}", TWO_WHEELS) for index in range(2 * MIN_ONE_PART)]
    assert len(find_several_parts([*wholes(), *pairs], 1)) == 2 * MIN_ONE_PART
    assert find_several_parts([*wholes(), *pairs, picture("one-more", TWO_WHEELS)], 1) == ()


def test_a_class_with_few_instances_says_nothing():
    assert find_several_parts([*wholes(MIN_ONE_PART - 1), picture("pair", TWO_WHEELS)], 1) == ()


def test_crowd_regions_are_neither_found_nor_counted():
    crowd = picture("crowd", TWO_WHEELS, is_crowd=True)
    assert find_several_parts([*wholes(), crowd], 1) == ()
    crowds = [picture(f"crowd-{index}", blocks(WHOLE), is_crowd=True) for index in range(MIN_ONE_PART)]
    assert find_several_parts([*crowds, picture("pair", TWO_WHEELS)], 1) == ()


@pytest.mark.parametrize(
    ("what", "mask"),
    [
        ("a speck beside it", blocks(WHOLE, (30, 30, 33, 33))),
        ("a hole", blocks((2, 2, 20, 4), (2, 18, 20, 20), (2, 4, 4, 18), (18, 4, 20, 18))),
        ("parts that touch at a corner", blocks(WHOLE, (12, 12, 22, 22))),
        ("a slit of two pixels", blocks(WHOLE, (14, 2, 24, 12))),
        ("no pixel", blocks()),
    ],
)
def test_is_in_one_part(what, mask):
    assert find_several_parts([*wholes(), picture("one", mask)], 1) == (), what


@given(st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_parts_apart_are_counted_from_a_tenth_of_the_largest(heights):
    mask = blocks(*((10 * place, 3, 10 * place + 5, 3 + height) for place, height in enumerate(heights)))
    areas = sorted((5 * height for height in heights), reverse=True)
    assert comparable_parts(picture("one", mask), 0).tolist() == [
        area for area in areas if area >= 0.1 * areas[0]
    ]


LEFT, RIGHT = (2, 2, 12, 12), (16, 2, 26, 12)
"""Two parts of 10 x 10 px with a gap of 4 px, the widest that something in front may make."""
IN_FRONT = (12, 0, 16, 20)


@pytest.mark.parametrize(
    ("what", "parts", "others", "areas"),
    [
        ("no other instance", (LEFT, RIGHT), (), [100, 100]),
        ("another instance in the gap", (LEFT, RIGHT), (IN_FRONT,), [200]),
        ("two that fill it together", (LEFT, RIGHT), ((12, 0, 14, 20), (14, 0, 16, 20)), [200]),
        ("another that fills half of it", (LEFT, RIGHT), ((12, 0, 14, 20),), [100, 100]),
        ("another elsewhere", (LEFT, RIGHT), ((0, 20, 40, 40),), [100, 100]),
        ("a gap of 6 px, wide beside the parts", (LEFT, (18, 2, 28, 12)), ((12, 0, 18, 20),), [100, 100]),
        ("a third part behind nothing", (LEFT, RIGHT, (2, 22, 12, 32)), (IN_FRONT,), [200, 100]),
        ("three parts in a row", (LEFT, RIGHT, (30, 2, 40, 12)), (IN_FRONT, (26, 5, 30, 8)), [300]),
    ],
)
def test_parts_are_of_one_object_if_other_instances_fill_a_narrow_gap(what, parts, others, areas):
    one = picture("one", blocks(*parts), *(blocks(other) for other in others))
    assert comparable_parts(one, 0).tolist() == areas, what


def test_a_crowd_region_in_the_gap_is_nothing_in_front():
    crowd = picture("crowd", blocks(IN_FRONT), is_crowd=True).instances
    one = picture("one", blocks(LEFT, RIGHT))
    assert comparable_parts(replace(one, instances=(*one.instances, *crowd)), 0).tolist() == [100, 100]


def test_an_object_with_another_in_front_of_it_counts_as_one_part_of_its_class():
    behind = [picture(f"behind-{index:02}", blocks(LEFT, RIGHT), blocks(IN_FRONT)) for index in range(20)]
    (found,) = find_several_parts([*behind, picture("pair", TWO_WHEELS)], 1)
    assert (found.picture.digest, found.share) == ("pair", pytest.approx(1 / 41))
