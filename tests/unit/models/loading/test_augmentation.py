"""Variants of pictures: hand-computed pasting and naming, and what holds for all of them."""

from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import AugmentationSettings, TrainingSettings
from models.loading.augmentation import augment, crop_at_random, make_mosaic, mirrored_labels, paste_instances
from models.loading.examples import TrainingExample, flip_sideways, place_of, tighten

EVERYTHING = {"scale_range": (0.3, 2.0), "crop": 0.7, "copy_paste": 0.7, "mosaic": 0.3}


class FixedDraws:
    """Stands in for a generator whose draws are known."""

    def __init__(self, draws):
        self._draws = draws

    def random(self, count):
        assert count == len(self._draws)
        return np.array(self._draws)


def fixed_draws(draws):
    return cast(np.random.Generator, FixedDraws(draws))


def crop_of(mask):
    crop = tighten(0, 0, mask)
    assert crop is not None
    return crop


def example_of(masks, colour=0, labels=None):
    masks = np.asarray(masks, dtype=bool)
    numbers = np.arange(1, len(masks) + 1) if labels is None else np.asarray(labels)
    pixels = np.full((*masks.shape[1:], 3), colour, dtype=np.uint8)
    return TrainingExample(pixels, numbers.astype(np.int64), tuple(crop_of(mask) for mask in masks))


def random_example(seed, height=17, width=23):
    random = np.random.default_rng(seed)
    masks = np.zeros((random.integers(0, 4), height, width), dtype=bool)
    for mask in masks:
        top, left = random.integers(0, height - 3), random.integers(0, width - 3)
        mask[top : top + 6, left : left + 5] = True
    example = example_of(masks)
    pixels = random.integers(0, 256, example.pixels.shape, dtype=np.uint8)
    return TrainingExample(pixels, example.labels, example.crops)


def dense(example):
    masks = np.zeros((len(example.crops), *example.size_px), dtype=bool)
    for mask, crop in zip(masks, example.crops, strict=True):
        mask[place_of(crop)] = crop.pixels
    return masks


def assert_same(one, other):
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(dense(one), dense(other))


def settings(**extra):
    return TrainingSettings(
        horizontal_flip=0.5, vertical_flip=0.5, augmentation=AugmentationSettings(**extra)
    )


# --- copy-paste ------------------------------------------------------------------------------------

BELOW = [
    [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]],
    [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]],
]
ABOVE = [
    [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]],
    [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
]


def test_a_pasted_instance_covers_what_is_below_it():
    below, above = example_of(BELOW, colour=10, labels=[1, 2]), example_of(ABOVE, colour=200, labels=[3, 4])
    pasted = paste_instances(below, above, fixed_draws([0.0, 0.9]), 0.1)  # the first one only
    assert pasted.labels.tolist() == [1, 3]  # the second one below is covered altogether
    np.testing.assert_array_equal(
        dense(pasted)[0], np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
    )
    np.testing.assert_array_equal(dense(pasted)[1], np.array(ABOVE[0], dtype=bool))
    expected = np.where(np.array(ABOVE[0], dtype=bool), 200, 10)
    np.testing.assert_array_equal(pasted.pixels[..., 0], expected)


@pytest.mark.parametrize(("min_visible", "labels"), [(0.75, [1, 3]), (0.76, [3])])
def test_an_instance_that_is_mostly_covered_disappears(min_visible, labels):
    below, above = example_of(BELOW[:1], labels=[1]), example_of(ABOVE[:1], labels=[3])
    assert paste_instances(below, above, fixed_draws([0.0]), min_visible).labels.tolist() == labels


def test_a_box_shrinks_to_what_is_left():
    below = example_of([[[1, 1, 1, 1]]])
    above = example_of([[[0, 0, 1, 1]]])
    pasted = paste_instances(below, above, fixed_draws([0.0]), 0.1)
    assert pasted.crops[0].box_xyxy == (0, 0, 2, 1)


def test_pasting_nothing_changes_nothing_and_pasting_never_writes_to_what_it_is_given():
    below, above = example_of(BELOW), example_of(ABOVE)
    assert paste_instances(below, above, fixed_draws([0.9, 0.9]), 0.1) is below
    before = below.pixels.copy()
    paste_instances(below, above, fixed_draws([0.0, 0.0]), 0.1)
    np.testing.assert_array_equal(below.pixels, before)


# --- names in the mirror ---------------------------------------------------------------------------

NAMES = ("left door", "roof", "right door")
PAIRS = (("left door", "right door"),)


def test_a_class_that_the_data_do_not_have_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="no class of the data is called left wing, right wing"):
        mirrored_labels(NAMES, [("left wing", "right wing")])


@pytest.mark.parametrize(
    ("sideways", "upside_down", "labels"),
    [(0.0, 0.0, [1, 2, 3]), (1.0, 0.0, [3, 2, 1]), (0.0, 1.0, [3, 2, 1]), (1.0, 1.0, [1, 2, 3])],
)
def test_a_mirror_exchanges_left_and_right_and_a_turn_does_not(sideways, upside_down, labels):
    chosen = TrainingSettings(horizontal_flip=sideways, vertical_flip=upside_down)
    example = example_of(np.ones((3, 2, 2)), labels=[1, 2, 3])
    flipped = augment(example, chosen, np.random.default_rng(0), mirrored=mirrored_labels(NAMES, PAIRS))
    assert flipped.labels.tolist() == labels


def test_without_mirrored_classes_labels_stay():
    chosen = TrainingSettings(horizontal_flip=1.0)
    example = example_of(np.ones((1, 2, 2)), labels=[1])
    assert augment(example, chosen, np.random.default_rng(0)).labels.tolist() == [1]


# --- mosaics and crops -----------------------------------------------------------------------------


def test_a_mosaic_shows_four_pictures_each_in_its_corner():
    four = [example_of(np.ones((1, 8, 12)), colour=colour, labels=[colour]) for colour in (10, 20, 30, 40)]
    mosaic = make_mosaic(four, np.random.default_rng(0), 0.1)
    assert mosaic.size_px == (8, 12)
    assert mosaic.labels.tolist() == [10, 20, 30, 40]
    masks = dense(mosaic)
    assert (masks.sum(axis=0) == 1).all()  # they fill it and do not overlap
    for mask, colour in zip(masks, (10, 20, 30, 40), strict=True):
        assert (mosaic.pixels[mask] == colour).all()
    corners = [mosaic.pixels[row, column, 0] for row in (0, -1) for column in (0, -1)]
    assert corners == [10, 20, 30, 40]


def test_a_crop_keeps_an_instance_whatever_is_drawn():
    masks = np.zeros((1, 20, 30))
    masks[0, 15:18, 25:29] = 1
    for seed in range(50):
        part = crop_at_random(example_of(masks), 0.5, np.random.default_rng(seed), 1.0)
        assert dense(part).sum() == 12
        assert 10 <= part.size_px[0] <= 20
        assert 15 <= part.size_px[1] <= 30


# --- everything together ---------------------------------------------------------------------------


def lend_any(random):
    return random_example(int(random.integers(1000)), height=11, width=29)


@given(st.integers(0, 500), st.booleans())
def test_whatever_is_drawn_labels_boxes_and_masks_stay_together(seed, has_lender):
    example = random_example(seed)
    made = augment(
        example, settings(**EVERYTHING), np.random.default_rng(seed), lend=lend_any if has_lender else None
    )
    assert len(made.labels) == len(made.crops)
    for mask, crop in zip(dense(made), made.crops, strict=True):
        rows, columns = np.nonzero(mask)
        assert crop.box_xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert mask.shape == made.size_px


@given(st.integers(0, 200))
def test_the_same_seed_makes_the_same_variant(seed):
    def make():
        chosen = settings(**EVERYTHING)
        return augment(random_example(seed), chosen, np.random.default_rng([seed, 1]), lend=lend_any)

    assert_same(make(), make())


@given(st.integers(0, 200))
def test_switching_something_on_changes_neither_the_flips_nor_what_is_drawn_after(seed):
    example, plain, scaled = random_example(seed), np.random.default_rng(seed), np.random.default_rng(seed)
    made = augment(example, settings(), plain, lend=lambda _: example)
    augment(example, settings(**EVERYTHING), scaled, lend=lambda _: example)
    assert plain.random() == scaled.random()
    draws = np.random.default_rng(seed)
    expected = flip_sideways(example) if draws.random() < 0.5 else example
    if draws.random() >= 0.5:
        assert_same(made, expected)


def test_by_default_only_flips_are_left():
    example = random_example(3)
    chosen = TrainingSettings(horizontal_flip=0.0)

    def refuse(_):
        raise AssertionError("a picture was lent")

    assert augment(example, chosen, np.random.default_rng(0), lend=refuse) is example
