"""How many instances pictures have and how large they are, and which ones are shown."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dataset.health.histograms import (
    Bin,
    choose_examples,
    count_doubling,
    count_extents,
    count_instances_of_pictures,
    tabulate_instances,
)
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from maskloop.masks import Rle, encode_masks

SIDE_PX = 32


def square(side_px: int) -> Rle:
    mask = np.zeros((1, SIDE_PX, SIDE_PX), dtype=bool)
    mask[0, :side_px, :side_px] = True
    return encode_masks(mask)[0]


def picture(name: str, *instances: LabelledInstance) -> LabelledPicture:
    return LabelledPicture(
        name, name, name, SIDE_PX, SIDE_PX, "here", name, "train", "data-v1", "human", instances
    )


def test_pictures_and_sizes_are_counted_without_crowds_and_empty_masks() -> None:
    """Sides of 3, 4 and 9 px are areas of 9, 16 and 81 px."""
    pictures = [
        picture("a", LabelledInstance(0, square(3)), LabelledInstance(1, square(4))),
        picture("b", LabelledInstance(0, square(9)), LabelledInstance(0, square(20), is_crowd=True)),
        picture("c", LabelledInstance(0, square(0))),
    ]
    table = tabulate_instances(pictures)
    assert count_instances_of_pictures(table) == (Bin(0, 1, 1), Bin(1, 2, 1), Bin(2, 4, 1))
    assert count_extents(table) == (Bin(2, 4, 1), Bin(4, 8, 1), Bin(8, 16, 1))
    assert table.shares.tolist() == [9 / 1024, 16 / 1024, 81 / 1024]


def test_without_pictures_there_are_no_bars_and_no_examples() -> None:
    table = tabulate_instances([])
    assert (count_instances_of_pictures(table), count_extents(table)) == ((), ())
    assert choose_examples(table, 2, most=10) == ()


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_every_value_is_in_the_one_bar_that_names_it(values: list[int]) -> None:
    bins = count_doubling(np.array(values, dtype=np.int64))
    assert [one.number for one in bins] == [
        sum(one.low <= value < one.high for value in values) for one in bins
    ]
    assert sum(one.number for one in bins) == len(values)
    assert bins[0].number > 0
    assert bins[-1].number > 0
    assert all(one.high == max(1, 2 * one.low) or one.low == 1 for one in bins)
    assert len(bins) <= 2 + math.ceil(math.log2(max(values) + 1))


def test_the_examples_of_a_class_are_its_median_and_the_ends_of_its_tenths() -> None:
    """Of eleven squares of 1 to 11 px the quantiles 0.1, 0.5 and 0.9 are 2, 6 and 10 px."""
    pictures = [picture(f"{side:02}", LabelledInstance(0, square(side))) for side in range(1, 12)]
    chosen = choose_examples(tabulate_instances(pictures), 2, most=6)
    assert [(one.class_index, one.row + 1, one.said) for one in chosen] == [
        (0, 6, "typical"),
        (0, 2, "small"),
        (0, 10, "large"),
    ]


def test_an_only_instance_is_shown_once() -> None:
    (only,) = choose_examples(tabulate_instances([picture("a", LabelledInstance(0, square(3)))]), 1, most=9)
    assert (only.row, only.label, only.said) == (0, 0, "typical")


def test_many_classes_get_fewer_examples_each_and_never_more_than_allowed() -> None:
    pictures = [
        picture(f"{number}", *(LabelledInstance(index, square(number + 1)) for index in range(8)))
        for number in range(6)
    ]
    table = tabulate_instances(pictures)
    two_each = choose_examples(table, 8, most=16)
    assert [one.class_index for one in two_each] == [index for index in range(8) for _ in range(2)]
    assert [one.class_index for one in choose_examples(table, 8, most=5)] == [0, 1, 2, 3, 4]
