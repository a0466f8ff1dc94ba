from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from dataset.pictures.looks import (
    alike_pairs,
    are_near,
    difference_hash,
    grey_cells,
    near_pairs,
    standardised,
)

RNG = np.random.default_rng(3)


class TestDifferenceHash:
    PICTURE = np.asarray(
        Image.fromarray(RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(
            (240, 180), Image.Resampling.BICUBIC
        )
    )

    def distance(self, other) -> int:
        return (difference_hash(self.PICTURE) ^ difference_hash(np.asarray(other))).bit_count()

    def test_a_ramp_to_the_right_sets_every_bit(self):
        ramp = np.repeat(np.arange(90, dtype=np.uint8)[np.newaxis, :, np.newaxis], 80, axis=0).repeat(
            3, axis=2
        )
        assert difference_hash(ramp) == 2**64 - 1
        assert difference_hash(ramp[:, ::-1]) == 0

    def test_it_stays_nearly_the_same_when_scaled_dimmed_or_noisy(self):
        image = Image.fromarray(self.PICTURE)
        noisy = np.clip(self.PICTURE + RNG.normal(0, 4, self.PICTURE.shape), 0, 255).astype(np.uint8)
        assert self.distance(image.resize((120, 90))) <= 3
        assert self.distance(self.PICTURE // 2) <= 3
        assert self.distance(noisy) <= 3

    def test_another_picture_is_far(self):
        assert self.distance(self.PICTURE[:, ::-1]) > 10

    @pytest.mark.parametrize("shape", [(1, 1, 3), (8, 9, 3), (3, 200, 3), (200, 2, 3)])
    def test_any_size_has_a_hash(self, shape):
        assert 0 <= difference_hash(RNG.integers(0, 256, shape, dtype=np.uint8)) < 2**64

    def test_the_hash_of_a_known_picture_has_not_changed(self):
        """Catalogs hold hashes of earlier versions, which new pictures are compared with."""
        rows, columns = np.mgrid[:37, :53]
        picture = np.stack([rows * columns % 251, rows * 7 % 256, columns * 5 % 256], axis=2).astype(np.uint8)
        assert f"{difference_hash(picture):016x}" == "fff9e6daafaddaee"


def alike(one: Any, other: Any) -> bool:
    rows = standardised([grey_cells(np.asarray(one)), grey_cells(np.asarray(other))])
    return len(alike_pairs(np.array([[0, 1]]), rows)) == 1


def even_ground(seed: int, ground: int = 235, ink: int = 20) -> Image.Image:
    """One small object on even ground, somewhere."""
    rng = np.random.default_rng(seed)
    x, y, side = rng.integers(0, 230), rng.integers(0, 230), rng.integers(8, 20)
    picture = np.full((256, 256, 3), ground, np.uint8)
    picture[y : y + side, x : x + side] = ink
    return Image.fromarray(picture)


class TestCells:
    PICTURE = TestDifferenceHash.PICTURE

    def test_they_are_the_averages_from_the_darkest_to_the_brightest(self) -> None:
        ramp = (
            np.repeat(np.arange(16, dtype=np.uint8), 4)[np.newaxis, :, np.newaxis].repeat(32, 0).repeat(3, 2)
        )
        rows = np.frombuffer(grey_cells(ramp + 100), np.uint8).reshape(16, 16)
        assert rows[0].tolist() == list(range(0, 256, 17))
        assert (rows == rows[0]).all()

    def test_different_pictures_of_one_even_ground_are_not_alike_though_their_hashes_agree(self) -> None:
        """One dark object on light ground; a bright one on black."""
        for ground, ink in ((235, 20), (0, 255)):
            pictures = [even_ground(seed, ground, ink) for seed in range(40)]
            rows = standardised([grey_cells(np.asarray(one)) for one in pictures])
            hashes = [difference_hash(np.asarray(one)) for one in pictures]
            num_agreeing = sum((one ^ other).bit_count() <= 3 for one in hashes for other in hashes)
            assert num_agreeing > 800
            pairs = np.array(list(itertools.combinations(range(40), 2)))
            assert len(alike_pairs(pairs, rows)) == 0

    @pytest.mark.parametrize("picture", [Image.fromarray(PICTURE), even_ground(1), even_ground(2, 0, 255)])
    def test_a_copy_saved_again_or_changed_a_little_is_alike(self, picture: Image.Image) -> None:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=50)
        width, height = picture.size
        for copy in (
            Image.open(file),
            ImageEnhance.Brightness(picture).enhance(0.7),
            ImageEnhance.Contrast(picture).enhance(0.8),
            picture.resize((width * 2 // 3, height * 2 // 3), Image.Resampling.BICUBIC),
            picture.crop((1, 1, width, height)),
        ):
            assert alike(picture, copy.convert("RGB"))

    def test_even_pictures_show_nothing_and_are_like_no_other(self) -> None:
        even = np.full((20, 20, 3), 90, np.uint8)
        assert set(grey_cells(even)) == {0}
        assert not alike(even, even)

    def test_unknown_cells_leave_it_to_the_hash(self) -> None:
        rows = standardised([grey_cells(self.PICTURE), None])
        assert alike_pairs(np.array([[0, 1], [1, 0]]), rows).tolist() == [[0, 1], [1, 0]]

    @pytest.mark.parametrize("shape", [(1, 1, 3), (3, 200, 3), (200, 2, 3)])
    def test_any_size_has_cells(self, shape: tuple[int, int, int]) -> None:
        assert len(grey_cells(RNG.integers(0, 256, shape, dtype=np.uint8))) == 256


@st.composite
def clustered_hashes(draw: st.DrawFn) -> list[int]:
    """A few hashes, and others that differ from them in some bits: equal and near ones are frequent."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=6)
    some = draw(st.lists(st.tuples(st.sampled_from(centres), flips), max_size=40))
    return [centre ^ sum({1 << bit for bit in bits}) for centre, bits in some]


@settings(deadline=None, max_examples=150)
@given(clustered_hashes(), st.integers(-1, 16))
def test_near_pairs_are_those_that_comparing_all_with_all_finds_each_once(
    hashes: list[int], distance_bits: int
) -> None:
    array = np.array(hashes, np.uint64)
    found = [tuple(pair) for pairs in near_pairs(array, distance_bits) for pair in pairs.tolist()]
    expected = [
        (int(one), other)
        for other, hash_ in enumerate(hashes)
        for one in np.flatnonzero(are_near(array[:other], hash_, distance_bits))
    ]
    assert sorted(found) == sorted(expected)


def test_near_pairs_of_many_spread_hashes_are_found_among_few_compared_ones() -> None:
    """20,000 hashes make 200 million pairs; the planted ones are found, in blocks no longer than the list."""
    hashes = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
    hashes[1::2000] = hashes[::2000] ^ np.uint64(0b10000001)
    blocks = list(near_pairs(hashes, 3))
    assert max(map(len, blocks)) <= len(hashes)
    found = sorted(map(tuple, np.concatenate(blocks).tolist()))
    assert found == [(number, number + 1) for number in range(0, 20_000, 2000)]
