"""What instances look like in numbers, computed by hand for squares; 0.01 is added before logarithms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dataset.health.instance_looks import BACKGROUND_FEATURES, LOOK_FEATURES, measure_picture
from dataset.labelled_pictures import LabelledInstance
from maskloop.masks import Rle, encode_masks

NAMES = [feature.name for feature in LOOK_FEATURES]
GREY = 100
LOG_GREY = math.log(GREY / 255 + 0.01)
SIDE_PX = 40


def mask_of(rows: slice, columns: slice) -> Rle:
    mask = np.zeros((1, SIDE_PX, SIDE_PX), dtype=bool)
    mask[0, rows, columns] = True
    return encode_masks(mask)[0]


def grey_picture() -> np.ndarray:
    return np.full((SIDE_PX, SIDE_PX, 3), GREY, dtype=np.uint8)


def test_a_white_rectangle_on_grey_is_measured() -> None:
    """10 x 20 px of 1,600 px; white is 1.0, the grey 100 / 255."""
    pixels = grey_picture()
    pixels[5:15, 8:28] = 255
    looks = measure_picture(pixels, (LabelledInstance(3, mask_of(slice(5, 15), slice(8, 28))),), "g")
    found = dict(zip(NAMES, looks.by_class[3].tolist(), strict=True))
    assert found == pytest.approx(
        {
            "size in the picture": math.log(200 / 1600),
            "width by height": math.log(2),
            "share of its box": 1.0,
            "length of its border": 0.0,
            "brightness": math.log(1.01),
            "red against green": 0.0,
            "blue against green": 0.0,
            "texture": math.log(0.01) - math.log(1.01),
            "brightness against its surroundings": math.log(1.01) - LOG_GREY,
            "red against green, against its surroundings": 0.0,
            "blue against green, against its surroundings": 0.0,
        },
        abs=1e-5,
    )
    assert looks.background[BACKGROUND_FEATURES[0]] == pytest.approx(LOG_GREY)
    assert np.isnan(looks.background).sum() == len(NAMES) - len(BACKGROUND_FEATURES)


def test_two_instances_of_a_class_are_averaged_and_the_larger_one_is_shown() -> None:
    small = LabelledInstance(0, mask_of(slice(0, 4), slice(0, 4)))
    large = LabelledInstance(0, mask_of(slice(10, 26), slice(10, 26)))
    looks = measure_picture(grey_picture(), (small, large), "g")
    assert looks.by_class[0][0] == pytest.approx((math.log(16 / 1600) + math.log(256 / 1600)) / 2)
    assert looks.shown == {0: 1}


def test_other_instances_are_no_surroundings() -> None:
    """A black neighbour touches the white square; what is around both is grey."""
    pixels = grey_picture()
    pixels[10:20, 10:20], pixels[10:20, 20:30] = 255, 0
    pair = (
        LabelledInstance(0, mask_of(slice(10, 20), slice(10, 20))),
        LabelledInstance(1, mask_of(slice(10, 20), slice(20, 30))),
    )
    looks = measure_picture(pixels, pair, "g")
    against = NAMES.index("brightness against its surroundings")
    assert looks.by_class[0][against] == pytest.approx(math.log(1.01) - LOG_GREY)
    assert looks.by_class[1][against] == pytest.approx(math.log(0.01) - LOG_GREY)


def test_crowds_and_specks_are_not_measured() -> None:
    instances = (
        LabelledInstance(0, mask_of(slice(0, 20), slice(0, 20)), is_crowd=True),
        LabelledInstance(1, mask_of(slice(30, 32), slice(30, 39))),
    )
    assert measure_picture(grey_picture(), instances, "g").by_class == {}


def test_a_picture_that_masks_cover_wholly_has_no_background_and_no_surroundings() -> None:
    looks = measure_picture(grey_picture(), (LabelledInstance(0, mask_of(slice(0, 40), slice(0, 40))),), "g")
    assert np.isnan(looks.background).all()
    assert looks.by_class[0][-3:].tolist() == [0.0, 0.0, 0.0]
