"""Which picture a mask belongs to, and what names its class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dataset.painted.layout import PaintedMask, keys_of, match_masks, split_numbers
from maskloop.masks import decode_masks


@pytest.mark.parametrize(
    ("mask", "picture", "class_name", "is_one_object"),
    [
        ("masks/a.png", "images/a.jpg", "", False),
        ("masks/train/a.png", "images/train/a.jpg", "", False),
        ("train/masks/a.png", "train/images/a.jpg", "", False),
        ("masks/nut/train/a.png", "images/train/a.jpg", "nut", False),
        ("masks/train/nut/a.png", "images/train/a.jpg", "nut", False),
        ("masks/nut/a_12.png", "images/a.jpg", "nut", True),
        ("masks/a_12.png", "images/a.jpg", "", True),
        ("masks/a_hex_nut_1.png", "images/a.jpg", "hex_nut", True),
        ("masks/a_2_nut_1.png", "images/a_2.jpg", "nut", True),
        ("masks/a_2.png", "images/a_2.jpg", "", False),
        ("masks/a.b.png", "images/a.b.jpg", "", False),
        ("masks/c.png", "", "", True),
        ("masks/nut/bolt/a.png", "", "", True),
    ],
)
def test_a_mask_is_matched_by_its_name(mask: str, picture: str, class_name: str, is_one_object: bool) -> None:
    pictures = {picture, "images/a.jpg", "images/d.jpg"} - {""}
    assert [*match_masks([mask], pictures)] == [PaintedMask(mask, picture, class_name, is_one_object)]


def test_in_a_folder_of_one_picture_every_mask_is_an_object_of_it() -> None:
    masks = ["x/masks/1.png", "y/masks/1.png"]
    pictures = ["x/images/x.png", "y/images/1.png", "y/images/2.png"]
    found = [(one.picture, one.is_one_object) for one in match_masks(masks, pictures)]
    assert found == [("x/images/x.png", True), ("y/images/1.png", False)]


def test_a_list_of_classes_may_call_a_picture_in_many_ways() -> None:
    assert keys_of("a.png") == ("a.png", "a")


@given(
    arrays(np.uint32, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 4)),
    st.sampled_from([1, 300, 70_000]),
)
def test_each_number_but_0_is_an_object_with_its_pixels(values, factor):
    found = split_numbers(values * np.uint32(factor))
    assert [*found] == sorted({int(value) * factor for value in values.ravel()} - {0})
    for number, rle in found.items():
        assert np.array_equal(decode_masks([rle])[0], values * factor == number)
