"""Who is who from frame to frame: the real library; every confident instance has a track of its class."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from evaluation.instances import Detections
from maskloop.errors import ConfigurationError
from maskloop.masks import encode_masks
from models.tracking.byte_track import ByteTracks
from models.tracking.tracks import NO_TRACK

Seen = tuple[float, float, int, bool]
"""Left and top of a box of 20 px, class, and whether it is confident."""


def follow(tracks: ByteTracks, number: int, *seen: Seen, time_s: float | None = None) -> list[int]:
    boxes = np.array([[x, y, x + 20, y + 20] for x, y, _, _ in seen], np.float32).reshape(-1, 4)
    found = Detections(
        200,
        200,
        boxes,
        np.linspace(0.9, 0.5, len(seen), dtype=np.float32),
        np.array([index for _, _, index, _ in seen], np.int64),
        encode_masks(np.ones((len(seen), 200, 200), dtype=bool)),
    )
    confident = np.array([is_confident for *_, is_confident in seen], dtype=bool)
    told = tracks.follow(number / 25 if time_s is None else time_s, found, confident)
    return [int(track) for track in told]


@pytest.fixture
def tracks() -> ByteTracks:
    return ByteTracks(25.0, 1.0)


def test_an_object_keeps_its_number_from_the_first_frame_on(tracks: ByteTracks) -> None:
    """The library itself numbers it from the second frame on."""
    assert [follow(tracks, number, (10 + 3 * number, 10, 0, True)) for number in range(6)] == [[1]] * 6


def test_objects_of_two_classes_never_share_a_track_even_in_one_place(tracks: ByteTracks) -> None:
    told = [follow(tracks, number, (10, 10, 0, True), (10, 10, 1, True)) for number in range(4)]
    assert told == [[1, 2]] * 4
    assert follow(tracks, 4, (10, 10, 1, True)) == [2]


def test_an_unsure_instance_joins_a_track_and_begins_none(tracks: ByteTracks) -> None:
    assert follow(tracks, 0, (10, 10, 0, True), (100, 100, 0, False)) == [1, NO_TRACK]
    assert follow(tracks, 1, (10, 10, 0, False), (100, 100, 0, False)) == [1, NO_TRACK]
    assert follow(tracks, 2, (10, 10, 0, True), (100, 100, 0, True)) == [1, 2]


def test_an_object_that_comes_back_in_time_keeps_its_number_by_the_clock_of_the_video(
    tracks: ByteTracks,
) -> None:
    assert follow(tracks, 0, (10, 10, 0, True), time_s=0.0) == [1]
    assert follow(tracks, 1, (10, 10, 0, True), time_s=0.04) == [1]
    assert follow(tracks, 2, time_s=0.5) == []
    assert follow(tracks, 3, (10, 10, 0, True), time_s=0.9) == [1]
    assert follow(tracks, 4, time_s=2.5) == []
    assert follow(tracks, 5, (10, 10, 0, True), time_s=2.6) == [2]


def test_every_confident_instance_has_a_track_however_crowded_and_no_two_share_one(
    tracks: ByteTracks,
) -> None:
    draw = np.random.default_rng(3)
    for number in range(30):
        places = draw.uniform(0, 170, (12, 2))
        seen: list[Seen] = [
            (x, y, place % 3, bool(draw.random() < 0.8)) for place, (x, y) in enumerate(places)
        ]
        told = follow(tracks, number, *seen)
        numbers = [track for track in told if track != NO_TRACK]
        assert len(set(numbers)) == len(numbers)
        assert all(
            track != NO_TRACK for track, (*_, is_confident) in zip(told, seen, strict=True) if is_confident
        )


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(ConfigurationError, match=r"trackers, which is not installed.*maskloop\[video\]"):
        ByteTracks(25.0, 1.0)
