"""Masks, boxes and scores of a track over time; nothing is invented, and nothing is dropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.instances import Detections
from maskloop.masks import decode_masks, encode_masks
from models.tracking.smoothing import smooth_tracks
from models.tracking.tracks import NO_TRACK, ToldFrame, TrackedFrame

SIDE_PX = 24
THRESHOLD = 0.5
Box = tuple[int, int, int, int]
"""Left, top, right, bottom of a rectangle."""


def frame(
    number: int,
    *instances: tuple[int, float, Box],
    class_index: int = 0,
    is_doubtful: bool = False,
    extra_px: Sequence[tuple[int, int]] = (),
) -> TrackedFrame:
    """A frame with an instance for each track, score and rectangle; more pixels go to the first."""
    masks = np.zeros((len(instances), SIDE_PX, SIDE_PX), dtype=bool)
    for mask, (_, _, (left, top, right, bottom)) in zip(masks, instances, strict=True):
        mask[top:bottom, left:right] = True
    for x, y in extra_px:
        masks[0, y, x] = True
    scores = np.array([score for _, score, _ in instances], np.float32)
    found = Detections(
        SIDE_PX,
        SIDE_PX,
        np.array([box for _, _, box in instances], np.float32).reshape(-1, 4),
        scores,
        np.full(len(instances), class_index),
        encode_masks(masks),
    )
    tracks = np.array([track for track, _, _ in instances], np.int64)
    return TrackedFrame(number, number / 25, found, scores >= THRESHOLD, tracks, is_doubtful)


def smooth(frames: Sequence[TrackedFrame], half_window: int = 2) -> list[ToldFrame]:
    return [*smooth_tracks(frames, half_window=half_window, reaches=lambda _, score: score >= THRESHOLD)]


def mask_of(told: ToldFrame, which: int = 0) -> np.ndarray:
    (mask,) = decode_masks([told.instances[which].mask])
    return np.asarray(mask)


BOX: Box = (4, 4, 14, 14)


def test_pixels_that_one_frame_alone_has_are_taken_away_and_those_that_it_lacks_come_back() -> None:
    frames = [frame(number, (1, 0.9, BOX)) for number in range(5)]
    frames[2] = frame(2, (1, 0.9, (4, 4, 14, 13)), extra_px=[(15, 5)])
    told = smooth(frames)
    expected = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    expected[4:14, 4:14] = True
    assert all(np.array_equal(mask_of(one), expected) for one in told)
    assert [one.instances[0].has_smoothed_mask for one in told] == [False, False, True, False, False]
    assert told[2].instances[0].measured_mask == frames[2].found.masks[0]
    assert told[2].instances[0].box_xyxy == BOX


def test_more_than_half_of_the_masks_decide_and_of_a_tie_the_own_one() -> None:
    """With one frame on either side, two of three outvote the second frame; the first has one neighbour."""
    frames = [frame(number, (1, 0.9, BOX)) for number in range(3)]
    frames[1] = frame(1, (1, 0.9, BOX), extra_px=[(15, 5)])
    told = smooth(frames, half_window=1)
    assert [bool(mask_of(one)[5, 15]) for one in told] == [False, False, False]
    frames[0] = frame(0, (1, 0.9, BOX), extra_px=[(15, 6)])
    assert mask_of(smooth(frames, half_window=1)[0])[6, 15]


def test_an_object_that_moves_is_smoothed_along_its_way_and_not_smeared() -> None:
    frames = [frame(number, (1, 0.9, (2 + number, 4, 12 + number, 14))) for number in range(7)]
    frames[3] = frame(3, (1, 0.9, (5, 4, 15, 14)), extra_px=[(16, 6)])
    told = smooth(frames)
    for number, one in enumerate(told):
        expected = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
        expected[4:14, 2 + number : 12 + number] = True
        assert np.array_equal(mask_of(one), expected)


def test_an_object_that_is_hidden_in_part_stays_as_it_was_measured() -> None:
    frames = [frame(number, (1, 0.9, BOX)) for number in range(5)]
    frames[2] = frame(2, (1, 0.9, (4, 4, 9, 14)))  # half of it: IoU 0.5 with every neighbour
    told = smooth(frames)
    assert not told[2].instances[0].has_smoothed_mask
    assert not told[1].instances[0].has_smoothed_mask


def test_scores_are_the_running_median_and_the_measured_one_stays_beside_it() -> None:
    scores = [0.9, 0.9, 0.55, 0.9, 0.9]
    told = smooth([frame(number, (1, score, BOX)) for number, score in enumerate(scores)])
    assert [one.instances[0].score for one in told] == pytest.approx([0.9] * 5)
    assert [one.instances[0].measured_score for one in told] == pytest.approx(scores)


def test_an_instance_below_the_threshold_is_told_if_its_track_lies_above_and_marked() -> None:
    scores = [0.6, 0.6, 0.4, 0.6, 0.6]
    told = smooth([frame(number, (1, score, BOX)) for number, score in enumerate(scores)])
    assert [len(one.instances) for one in told] == [1] * 5
    assert [one.instances[0].is_confident for one in told] == [True, True, False, True, True]


def test_an_instance_that_reaches_the_threshold_is_told_whatever_its_track_says() -> None:
    scores = [0.4, 0.4, 0.6, 0.4, 0.4]
    told = smooth([frame(number, (1, score, BOX)) for number, score in enumerate(scores)])
    assert [len(one.instances) for one in told] == [0, 0, 1, 0, 0]


def test_an_instance_without_a_track_is_told_as_measured_and_only_if_it_reaches_the_threshold() -> None:
    told = smooth([frame(0, (NO_TRACK, 0.6, BOX), (NO_TRACK, 0.4, BOX))])
    assert [one.measured_score for one in told[0].instances] == pytest.approx([0.6])


def test_an_object_is_not_told_in_a_frame_in_which_the_model_did_not_find_it() -> None:
    frames = [frame(0, (1, 0.9, BOX)), frame(1), frame(2, (1, 0.9, BOX))]
    assert [len(one.instances) for one in smooth(frames)] == [1, 0, 1]


def test_a_frame_that_may_be_smeared_has_no_vote_and_is_told_as_measured() -> None:
    frames = [
        frame(number, (1, 0.9, BOX), is_doubtful=number != 2, extra_px=[(15, 5)]) for number in range(5)
    ]
    frames[2] = frame(2, (1, 0.9, BOX))
    told = smooth(frames)
    assert not any(one.instances[0].has_smoothed_mask for one in told)


def test_missing_frames_leave_a_window_smaller_and_not_wider() -> None:
    """Frames 1 to 8 are missing, so nothing that frame 0 shows is close to frame 9."""
    frames = [frame(0, (1, 0.9, BOX)), frame(9, (1, 0.9, BOX), extra_px=[(15, 5)]), frame(10, (1, 0.9, BOX))]
    assert mask_of(smooth(frames)[1])[5, 15]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 12), st.sampled_from([0.3, 0.6, 0.9])),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 4),
)
def test_whatever_comes_every_confident_instance_is_told_once_in_order(
    places: list[tuple[int, int, int, float]], half_window: int
) -> None:
    frames = [
        frame(number, (1, score, (left, top, left + side, top + side)))
        for number, (left, top, side, score) in enumerate(places)
    ]
    told = smooth(frames, half_window)
    assert [one.number for one in told] == [*range(len(frames))]
    for one, measured in zip(told, frames, strict=True):
        assert len(one.instances) <= 1
        assert len(one.instances) >= measured.is_confident.sum()
        for instance in one.instances:
            assert instance.measured_mask == measured.found.masks[0]
            assert mask_of(one).any()
    if half_window == 0:
        assert not any(instance.has_smoothed_mask for one in told for instance in one.instances)
