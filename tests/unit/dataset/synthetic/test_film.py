"""A film whose truth is known: the same parts through all frames, some of them at rest."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dataset.synthetic.film import FilmFrame, shoot_film


@pytest.fixture(scope="module")
def film() -> list[FilmFrame]:
    return [*shoot_film(3, num_frames=8, side_px=128)]


def test_the_same_arguments_make_the_same_film(film: list[FilmFrame]) -> None:
    again = [*shoot_film(3, num_frames=8, side_px=128)]
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(film, again, strict=True))
    assert not np.array_equal(film[0].pixels, next(shoot_film(4, num_frames=1, side_px=128)).pixels)


def test_parts_at_rest_stay_and_the_others_move(film: list[FilmFrame]) -> None:
    for one, other in pairwise(film):
        for number, mask, at_rest in zip(one.numbers, one.masks, one.at_rest, strict=True):
            later = other.masks[other.numbers.index(number)]
            assert at_rest == (number <= 3)
            if not at_rest:
                assert not np.array_equal(later, mask)


def test_masks_never_overlap_and_only_the_grain_of_the_belt_changes(film: list[FilmFrame]) -> None:
    for frame in film:
        assert frame.masks.sum(axis=0).max() == 1
    empty = ~np.any([frame.masks.any(axis=0) for frame in film], axis=0)
    far = empty.copy()
    far[8:, :] &= empty[:-8, :]
    change = np.abs(film[0].pixels.astype(int) - film[1].pixels)[far]
    assert 0 < np.median(change) < 6
