"""Pictures and masks change together: hand-computed cases, and properties against dense masks."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dataset.labelled_pictures import LabelledInstance
from maskloop.masks import encode_masks
from models.loading.examples import (
    PADDING_RGB,
    CropArea,
    TrainingExample,
    choose_window,
    cut,
    flip_sideways,
    flip_upside_down,
    nearest,
    place_of,
    read_example,
    resize,
    tighten,
    zoom,
)
from models.operations.crops import MaskCrop


def example_of(masks, labels=None):
    """Return an example of dense masks (M, H, W), whose pixels are all different."""
    masks = np.asarray(masks, dtype=bool)
    height, width = masks.shape[1:]
    pixels = np.arange(height * width * 3, dtype=np.uint64).reshape(height, width, 3).astype(np.uint8)
    numbers = range(1, len(masks) + 1) if labels is None else labels
    crops = [tighten(0, 0, mask) for mask in masks]
    kept = [(number, crop) for number, crop in zip(numbers, crops, strict=True) if crop is not None]
    return TrainingExample(
        pixels, np.array([number for number, _ in kept], dtype=np.int64), tuple(crop for _, crop in kept)
    )


def dense(example):
    masks = np.zeros((len(example.crops), *example.size_px), dtype=bool)
    for mask, crop in zip(masks, example.crops, strict=True):
        mask[place_of(crop)] = crop.pixels
    return masks


def assert_sound(example):
    assert len(example.labels) == len(example.crops)
    assert example.labels.dtype == np.int64
    assert example.pixels.dtype == np.uint8
    for mask, crop in zip(dense(example), example.crops, strict=True):
        rows, columns = np.nonzero(mask)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert crop.box_xyxy == box


@st.composite
def examples(draw, max_side=14, max_instances=3):
    height, width = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    count = draw(st.integers(0, max_instances))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = random.random((count, height, width)) < draw(st.sampled_from([0.05, 0.3, 0.9]))
    return example_of(masks)


L_SHAPE = [[0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0]]
"""Three rows, five columns; its box is columns 1 and 2 of rows 1 and 2."""


def test_a_picture_is_read_with_its_instances_but_without_crowds_and_empty_masks(shapes):

    (mask, empty) = encode_masks(np.array([L_SHAPE, np.zeros((3, 5))]))
    instances = (
        LabelledInstance(0, mask, is_crowd=True),
        LabelledInstance(0, empty),
        LabelledInstance(1, mask),
    )
    picture = dataclasses.replace(shapes.make_picture(0), height_px=3, width_px=5, instances=instances)
    example = read_example(picture, np.zeros((3, 5, 3), np.uint8))
    assert example.labels.tolist() == [2]
    (crop,) = example.crops
    assert crop.box_xyxy == (1, 1, 3, 3)
    assert crop.pixels.tolist() == [[True, False], [True, True]]


def test_a_flip_moves_boxes_and_masks_together():
    sideways, upside_down = flip_sideways(example_of([L_SHAPE])), flip_upside_down(example_of([L_SHAPE]))
    assert sideways.crops[0].box_xyxy == (2, 1, 4, 3)
    assert sideways.crops[0].pixels.tolist() == [[False, True], [True, True]]
    assert upside_down.crops[0].box_xyxy == (1, 0, 3, 2)
    assert upside_down.crops[0].pixels.tolist() == [[True, True], [True, False]]


@given(examples())
def test_flips_are_those_of_the_dense_arrays_and_undo_themselves(example):
    for flip, axis in ((flip_sideways, 1), (flip_upside_down, 0)):
        flipped = flip(example)
        assert_sound(flipped)
        np.testing.assert_array_equal(flipped.pixels, np.flip(example.pixels, axis))
        np.testing.assert_array_equal(dense(flipped), np.flip(dense(example), axis + 1))
        np.testing.assert_array_equal(dense(flip(flipped)), dense(example))


def test_cutting_drops_what_is_less_visible_than_asked():
    example = example_of([L_SHAPE])
    window = CropArea(left_px=2, top_px=1, width_px=3, height_px=2)  # one of three pixels is inside
    kept = cut(example, window, 0.3)
    assert kept.crops[0].box_xyxy == (0, 1, 1, 2)
    np.testing.assert_array_equal(kept.pixels, example.pixels[1:3, 2:5])
    assert cut(example, window, 0.34).crops == ()
    assert cut(example, window, 0.34).labels.shape == (0,)
    assert cut(example, CropArea(3, 0, 2, 3), 0.0).crops == ()


@given(examples(), st.data())
def test_cutting_is_that_of_the_dense_arrays(example, data):
    height, width = example.size_px
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    window = CropArea(
        left, top, data.draw(st.integers(1, width - left)), data.draw(st.integers(1, height - top))
    )
    part = cut(example, window, 0.0)
    assert_sound(part)
    masks = dense(example)[:, top : top + window.height_px, left : left + window.width_px]
    visible = masks.any(axis=(1, 2))
    np.testing.assert_array_equal(dense(part), masks[visible])
    assert part.labels.tolist() == example.labels[visible].tolist()


def test_a_mask_doubles_and_halves_pixel_by_pixel():
    doubled = resize(example_of([L_SHAPE]), 6, 10)
    assert doubled.crops[0].box_xyxy == (2, 2, 6, 6)
    np.testing.assert_array_equal(dense(doubled)[0], np.kron(L_SHAPE, np.ones((2, 2))).astype(bool))
    np.testing.assert_array_equal(dense(resize(doubled, 3, 5))[0], np.array(L_SHAPE, dtype=bool))


def test_centres_of_pixels_are_sampled():
    assert nearest(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert nearest(5, 2).tolist() == [1, 3]  # 5/4 and 15/4
    assert nearest(2, 5).tolist() == [0, 0, 1, 1, 1]  # 1/5, 3/5, 1, 7/5, 9/5
    assert nearest(3, 1).tolist() == [1]


@given(examples(), st.integers(1, 30), st.integers(1, 30))
def test_resizing_crops_is_resizing_the_dense_mask_the_same_way(example, height, width):
    resized = resize(example, height, width)
    assert_sound(resized)
    assert resized.pixels.shape == (height, width, 3)
    rows, columns = nearest(example.size_px[0], height), nearest(example.size_px[1], width)
    masks = dense(example)[:, rows][:, :, columns]
    visible = masks.any(axis=(1, 2))
    np.testing.assert_array_equal(dense(resized), masks[visible])
    assert resized.labels.tolist() == example.labels[visible].tolist()


@pytest.mark.parametrize("size", [(7, 11), (40, 50), (24, 16), (13, 64)])
def test_masks_are_sampled_where_pillow_samples(size):
    mask = np.random.default_rng(0).random((25, 33)) < 0.5  # odd sides: no centre lies between two pixels
    resized = resize(example_of([mask]), *size)
    theirs = Image.fromarray(mask.astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(dense(resized)[0], np.asarray(theirs) > 0)


def test_pixels_are_scaled_by_pillow():
    example = example_of(np.zeros((0, 8, 6)))
    theirs = Image.fromarray(example.pixels).resize((3, 4), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize(example, 4, 3).pixels, np.asarray(theirs))


def test_a_picture_scaled_down_lies_on_padding_with_its_mask():
    example = example_of(np.ones((1, 8, 12)))
    smaller = zoom(example, 0.5, (8, 12), np.random.default_rng(0), 0.1)
    left, top, right, bottom = (int(side) for side in smaller.crops[0].box_xyxy)
    assert (right - left, bottom - top) == (6, 4)
    outside = np.ones((8, 12), dtype=bool)
    outside[top:bottom, left:right] = False
    assert (smaller.pixels[outside] == PADDING_RGB).all()


def test_a_picture_scaled_up_is_cut_to_its_size_around_an_instance():
    corner = np.zeros((1, 8, 12))
    corner[0, 6:, 10:] = 1
    larger = zoom(example_of(corner), 2.0, (8, 12), np.random.default_rng(0), 0.1)
    assert larger.size_px == (8, 12)
    assert dense(larger).sum() == 16


@given(examples(), st.floats(0.05, 4.0), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_zooming_always_gives_the_size_asked_for(example, scale, height, width, seed):
    zoomed = zoom(example, scale, (height, width), np.random.default_rng(seed), 0.1)
    assert zoomed.size_px == (height, width)
    assert_sound(zoomed)


@given(examples(), st.data())
def test_a_window_lies_in_the_picture_and_holds_an_instance_that_fits(example, data):
    height, width = (data.draw(st.integers(1, side)) for side in example.size_px)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    window = choose_window(example, height, width, random)
    assert 0 <= window.left_px <= example.size_px[1] - width
    assert 0 <= window.top_px <= example.size_px[0] - height
    if len(example.crops) == 1 and max(example.crops[0].pixels.shape) <= min(height, width):
        part = cut(example, window, 1.0)
        assert dense(part).sum() == dense(example).sum()


@given(examples(), st.floats(0, 1))
def test_areas_never_grow_by_cutting(example, min_visible):
    height, width = example.size_px
    part = cut(example, CropArea(0, 0, max(1, width // 2), max(1, height // 2)), min_visible)
    area_of = dict(zip(example.labels.tolist(), dense(example).sum(axis=(1, 2)), strict=True))
    for label, mask in zip(part.labels.tolist(), dense(part), strict=True):
        assert min_visible * area_of[label] <= mask.sum() <= area_of[label]


def test_what_is_handed_in_is_not_written_to():
    example = example_of(np.ones((1, 6, 6)))
    example.pixels.setflags(write=False)
    example.crops[0].pixels.setflags(write=False)
    for scale in (0.5, 1.0, 2.0):
        assert zoom(example, scale, (6, 6), np.random.default_rng(0), 0.1).size_px == (6, 6)


def test_an_empty_mask_has_no_box():
    assert tighten(3, 4, np.zeros((2, 2), dtype=bool)) is None
    assert isinstance(tighten(3, 4, np.eye(2, dtype=bool)), MaskCrop)
