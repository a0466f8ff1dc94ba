"""Known changes of pictures move their masks along, and give the same picture twice."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.instances import GroundTruth
from maskloop.masks import areas_px, decode_masks, encode_masks
from monitoring.quality.shifts import CALIBRATION_SHIFTS, REFERENCE, Shift, light, noise, zoom


def white_square(top: int, left: int, side: int, *, height: int = 60, width: int = 80) -> GroundTruth:
    masks = np.zeros((1, height, width), bool)
    masks[0, top : top + side, left : left + side] = True
    return GroundTruth("p", "belt", height, width, np.array([0]), encode_masks(masks), np.array([False]))


def draw(truth: GroundTruth) -> np.ndarray:
    pixels = np.zeros((truth.height_px, truth.width_px, 3), np.uint8)
    pixels[decode_masks(truth.masks)[0]] = 255
    return pixels


@pytest.mark.parametrize("shift", CALIBRATION_SHIFTS, ids=lambda one: one.name)
def test_a_shift_gives_a_picture_of_the_same_size_and_the_same_one_again(shift: Shift) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (130, 150, 3), dtype=np.uint8)
    shown = shift.show(pixels, seed=4)
    assert (shown.shape, shown.dtype) == (pixels.shape, np.uint8)
    assert np.array_equal(shown, shift.show(pixels, seed=4))
    assert np.array_equal(shown, pixels) == (shift.kind == REFERENCE)


def test_the_first_shift_is_none_at_all_and_kinds_have_at_most_three_strengths() -> None:
    assert CALIBRATION_SHIFTS[0].kind == REFERENCE
    kinds = [shift.kind for shift in CALIBRATION_SHIFTS]
    assert max(kinds.count(kind) for kind in kinds) <= 3
    assert len({shift.name for shift in CALIBRATION_SHIFTS}) == len(CALIBRATION_SHIFTS)


def test_light_multiplies_and_stops_at_white() -> None:
    pixels = np.array([[[0, 100, 200]]], np.uint8)
    assert light(0.5).show(pixels, seed=0).tolist() == [[[0, 50, 100]]]
    assert light(1.6).show(pixels, seed=0).tolist() == [[[0, 160, 255]]]


def test_noise_has_the_stated_deviation_and_depends_on_the_seed() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = noise(8.0).show(grey, seed=1)
    assert noisy.std() == pytest.approx(8.0, rel=0.02)
    assert not np.array_equal(noisy, noise(8.0).show(grey, seed=2))


@pytest.mark.parametrize(("factor", "area_px"), [(2.0, 1600), (0.5, 100)])
def test_zoom_scales_an_object_and_its_mask_alike(factor: float, area_px: int) -> None:
    truth = white_square(20, 30, 20)
    moved = zoom(factor).move(truth)
    assert areas_px(moved.masks).tolist() == [area_px]
    bright = zoom(factor).show(draw(truth), seed=0)[..., 0] > 127
    both = (bright & decode_masks(moved.masks)[0]).sum()
    assert both / (bright | decode_masks(moved.masks)[0]).sum() > 0.8


def test_an_object_that_zoom_pushes_out_of_the_frame_is_not_annotated_any_more() -> None:
    moved = zoom(2.0).move(white_square(0, 0, 10))
    assert (len(moved.masks), len(moved.class_indices), len(moved.is_crowd)) == (0, 0, 0)


def test_a_shift_of_colours_moves_no_mask() -> None:
    truth = white_square(0, 0, 10)
    assert light(0.3).move(truth) is truth
