"""Jitter of objects at rest, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from maskloop.masks import Rle, encode_masks
from models.tracking.jitter import JitterMeter, is_at_rest, rest_limit_px
from models.tracking.tracks import ToldFrame, ToldInstance

Box = tuple[int, int, int, int]


def rectangle(left: int, top: int, right: int, bottom: int) -> Rle:
    mask = np.zeros((1, 40, 40), dtype=bool)
    mask[0, top:bottom, left:right] = True
    return encode_masks(mask)[0]


def frame(
    number: int, measured: Box, told: Box | None = None, score: float = 0.9, *, is_doubtful: bool = False
) -> ToldFrame:
    one = ToldInstance(
        1, 0, 0.9, score, (0.0, 0.0, 1.0, 1.0), rectangle(*(told or measured)), rectangle(*measured), True
    )
    return ToldFrame(number, number / 25, (one,), is_doubtful)


def measure(frames: Sequence[ToldFrame]) -> JitterMeter:
    meter = JitterMeter()
    for one in frames:
        meter.add(one)
    return meter


WIDE, NARROW = (10, 10, 20, 20), (10, 10, 19, 20)


def test_jitter_is_one_minus_the_mean_iou_of_consecutive_masks() -> None:
    """Masks of 10 x 10 and 9 x 10 px take turns: IoU 0.9 in every pair. The told masks are all alike.

    Four frames make pairs 0-1, 1-2 and 2-3; at the first and the last one side has one frame, so one pair is
    left. Its centroids differ by 0 px in the median.
    """
    frames = [frame(number, (WIDE, NARROW)[number % 2], WIDE, (0.9, 0.7)[number % 2]) for number in range(4)]
    jitter = measure(frames).result()
    assert jitter.num_pairs == 1
    assert jitter.before == pytest.approx(0.1)
    assert jitter.after == pytest.approx(0.0)
    assert jitter.score_before == pytest.approx(0.2)
    assert jitter.score_after == pytest.approx(0.0)


@pytest.mark.parametrize("num_frames", [4, 8, 9, 20])
def test_every_pair_with_two_frames_on_either_side_counts_once(num_frames: int) -> None:
    assert measure([frame(number, WIDE) for number in range(num_frames)]).result().num_pairs == num_frames - 3


def test_an_object_that_moves_is_left_out() -> None:
    frames = [frame(number, (10 + number, 10, 20 + number, 20)) for number in range(12)]
    jitter = measure(frames).result()
    assert (jitter.num_pairs, jitter.before, jitter.after) == (0, None, None)


def test_pairs_are_chosen_by_what_was_measured_alone() -> None:
    """Else a smoother that moves masks would choose what it is judged by."""
    frames = [frame(number, WIDE, (10 + number, 10, 20 + number, 20)) for number in range(10)]
    jitter = measure(frames).result()
    assert jitter.num_pairs == 7
    assert jitter.before == 0.0
    assert jitter.after == pytest.approx(1 - 90 / 110)


def test_frames_that_are_missing_or_may_be_smeared_make_no_pair() -> None:
    frames = [frame(number, WIDE) for number in range(10) if number != 5]
    assert measure(frames).result().num_pairs == 5  # 1-2, 2-3, 3-4; 6-7, 7-8
    frames = [frame(number, WIDE, is_doubtful=number == 5) for number in range(10)]
    assert measure(frames).result().num_pairs == 5


def test_an_object_at_rest_may_seem_to_move_by_half_a_pixel_or_a_hundredth_of_its_size() -> None:
    assert rest_limit_px(2500.0) == 0.5
    assert rest_limit_px(1e6) == 10.0
    before = [(5.0, 5.0), (5.0, 5.0)]
    assert is_at_rest(before, [(5.5, 5.0), (5.5, 5.0)], 100.0)
    assert not is_at_rest(before, [(5.6, 5.0), (5.6, 5.0)], 100.0)
    assert not is_at_rest(before, [(5.0, 5.0)], 100.0)
