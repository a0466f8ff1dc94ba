"""Label Studio's brush masks are read bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dataset.formats.brushes import decode_brush, read_brush, write_brush
from maskloop.errors import MaskError
from maskloop.masks import decode_masks, encode_masks
from tests.fakes.label_studio_files import encode_brush

DOT = [0, 0, 125, 0, 57, 27, 255, 94, 135, 0, 143, 255, 143, 57, 128, 0]
"""What label-studio-sdk 2.1.2 writes for one pixel at (50, 60) in a picture of 100 x 80 px."""

MASKS = npst.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
COLOURS = st.tuples(*[st.integers(0, 255)] * 3, st.sampled_from([1, 128, 255]))


def test_one_pixel_as_the_sdk_writes_it() -> None:
    mask = decode_masks([read_brush(DOT, 80, 100)])[0]
    assert np.argwhere(mask).tolist() == [[60, 50]]


@given(mask=MASKS, colour=COLOURS)
def test_a_painted_mask_comes_back_whatever_its_colour(
    mask: np.ndarray, colour: tuple[int, int, int, int]
) -> None:
    stream = encode_brush(mask, colour)
    assert np.array_equal(decode_masks([read_brush(stream, *mask.shape)])[0], mask)


def test_pixels_that_a_soft_brush_covers_by_half_belong_to_the_mask() -> None:
    alphas = [0, 60, 127, 128, 200, 255]
    rgba = [value for alpha in alphas for value in (9, 9, 9, alpha)]
    piece = "0" + "10" + format(len(rgba) - 1, "08b") + "".join(format(value, "08b") for value in rgba)
    text = format(len(rgba), "032b") + "00111" + "0010" + "0011" + "0111" + "1111" + piece
    stream = [int(text[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(text), 8)]
    assert decode_masks([read_brush(stream, 1, 6)])[0].tolist() == [[False, False, False, True, True, True]]


@pytest.mark.parametrize(
    ("stream", "size", "message"),
    [
        (DOT, (100, 81), "has 32000 values, not the 32400 of its picture"),
        (DOT[:12], (80, 100), "cut off"),
        (DOT[:5], (80, 100), "cut off before its first"),
        ([], (80, 100), "cut off before its first"),
        ("text", (80, 100), "whole numbers from 0 to 255"),
        ([0, 256], (80, 100), "whole numbers from 0 to 255"),
        ([True], (80, 100), "whole numbers from 0 to 255"),
        ([*DOT[:4], 1, *DOT[5:]], (80, 100), "not of 8 bits"),
        (DOT, (0, 100), "impossible or too large"),
        (DOT, (100_000, 100_000), "impossible or too large"),
    ],
)
def test_a_broken_stream_is_refused(stream: object, size: tuple[int, int], message: str) -> None:
    with pytest.raises(MaskError, match=message):
        read_brush(stream, *size)


def test_a_piece_that_runs_beyond_the_picture_is_refused() -> None:
    text = format(4, "032b") + "00111" + "0010" + "0011" + "0111" + "1111" + "1" + "00" + "111" + "00000001"
    data = bytes(int(text[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(text), 8))
    with pytest.raises(MaskError, match="beyond its picture"):
        decode_brush(data, 4)


@given(st.lists(st.integers(0, 255), max_size=40))
def test_any_bytes_are_read_or_refused(stream: list[int]) -> None:
    try:
        mask = read_brush([0, 0, 0, 24, 57, 27, 255, *stream], 2, 3)
    except MaskError:
        return
    assert (mask.height_px, mask.width_px) == (2, 3)


@given(MASKS)
def test_a_mask_that_is_written_is_read_as_it_was(mask: np.ndarray) -> None:
    (rle,) = encode_masks(mask[None])
    assert np.array_equal(decode_masks([read_brush(write_brush(rle), *mask.shape)])[0], mask)


def test_runs_longer_than_a_piece_holds_are_written_in_pieces() -> None:
    mask = np.zeros((300, 200), dtype=bool)
    mask[100:290] = True
    (rle,) = encode_masks(mask[None])
    assert read_brush(write_brush(rle), 300, 200) == rle
