"""Masks in every format that can be asked for, and pictures for people."""

from __future__ import annotations

import base64
import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from maskloop.masks import decode_masks, encode_masks, mask_iou, rle_from_coco
from serving.answering.rendering import make_smaller, render_mask, trace_outlines
from serving.schemas import RleMask
from tests.fakes.serving_world import detect

bitmaps = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def ring() -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[4:16, 6:20] = True
    mask[8:12, 10:14] = False
    return mask


def test_an_rle_is_what_coco_tools_read() -> None:
    (mask,) = encode_masks(ring()[None])
    rle = render_mask(mask, "rle")
    assert isinstance(rle, RleMask)
    assert rle_from_coco({"size": [*rle.size], "counts": rle.counts}, 20, 30) == mask


def test_a_png_is_as_large_as_the_picture_and_white_inside() -> None:
    (mask,) = encode_masks(ring()[None])
    text = render_mask(mask, "png")
    assert isinstance(text, str)
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    assert image.size == (30, 20)
    assert (np.asarray(image.convert("L")) == ring() * 255).all()


def test_polygons_are_outlines_with_their_holes_filled() -> None:
    (mask,) = encode_masks(ring()[None])
    filled = ring()
    filled[8:12, 10:14] = True
    (outline,) = trace_outlines(mask)
    again = rle_from_coco([outline], 20, 30)
    assert mask_iou([again], encode_masks(filled[None]))[0, 0] > 0.95
    assert min(outline[0::2]) >= 5.5
    assert max(outline[0::2]) <= 20.5


def test_a_mask_in_two_parts_is_two_polygons_and_an_empty_one_none() -> None:
    mask = np.zeros((10, 20), bool)
    assert trace_outlines(encode_masks(mask[None])[0]) == []
    mask[2:5, 2:5] = mask[2:5, 12:17] = True
    assert len(trace_outlines(encode_masks(mask[None])[0])) == 2


@settings(max_examples=50, deadline=None)
@given(bitmap=bitmaps)
def test_a_png_mask_holds_every_pixel(bitmap: np.ndarray) -> None:
    (mask,) = encode_masks(bitmap[None])
    text = render_mask(mask, "png")
    assert isinstance(text, str)
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) == bitmap).all()
    assert (decode_masks([mask])[0] == bitmap).all()


@settings(max_examples=50, deadline=None)
@given(
    bitmap=arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))), longest_px=st.integers(1, 45)
)
def test_a_picture_for_people_is_made_smaller_with_its_masks(bitmap: np.ndarray, longest_px: int) -> None:
    pixels = np.repeat((bitmap * 255).astype(np.uint8)[..., None], 3, axis=2)
    smaller, found = make_smaller(pixels, detect(pixels), longest_px=longest_px)
    assert max(smaller.shape[:2]) <= longest_px
    assert (found.height_px, found.width_px) == smaller.shape[:2]
    for mask in found.masks_NHW():
        assert (mask == (smaller[..., 0] > 128)).all()
