"""Answers in the coordinates of the file, whatever its EXIF orientation, in every format of masks."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import ExifTags, Image

from dataset.decoding import encode_png, open_picture
from evaluation.instances import Detections
from maskloop.masks import decode_masks, encode_masks, mask_iou, rle_from_coco
from serving.rendering import make_smaller, render_instances, render_mask, to_stored, trace_outlines
from tests.fakes.serving_world import detect

bitmaps = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def store(pixels: np.ndarray, orientation: int) -> bytes:
    """Write a PNG whose EXIF says how it is to be turned."""
    image, exif, file = Image.open(io.BytesIO(encode_png(pixels))), Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@settings(max_examples=20, deadline=None)
@given(bitmap=bitmaps)
def test_boxes_and_masks_come_back_in_the_coordinates_of_the_file(
    orientation: int, bitmap: np.ndarray
) -> None:
    stored = np.repeat((bitmap * 255).astype(np.uint8)[..., None], 3, axis=2)
    upright = open_picture(store(stored, orientation), max_mpx=1.0)
    assert upright.orientation == orientation
    answer, expected = to_stored(detect(upright.pixels), orientation), detect(stored)
    assert (answer.height_px, answer.width_px) == stored.shape[:2]
    assert answer.boxes_xyxy.tolist() == expected.boxes_xyxy.tolist()
    assert answer.masks == expected.masks


def ring() -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[4:16, 6:20] = True
    mask[8:12, 10:14] = False
    return mask


def test_an_rle_is_what_coco_tools_read() -> None:
    (mask,) = encode_masks(ring()[None])
    rle = render_mask(mask, "rle")
    assert rle is not None
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


def test_instances_are_cut_by_score_and_number_best_first() -> None:
    masks = encode_masks(np.ones((3, 4, 5), bool))
    boxes = np.tile(np.array([[0.123456, 0, 5, 4]], np.float32), (3, 1))
    found = Detections(4, 5, boxes, np.array([0.91, 0.62, 0.3], np.float32), np.array([1, 0, 1]), masks)
    names = ("bolt", "nut")
    shown = render_instances(found, names, masks="none", min_score=0.5, max_instances=300)
    assert [(one.class_name, one.score, one.mask) for one in shown] == [
        ("nut", 0.91, None),
        ("bolt", 0.62, None),
    ]
    assert shown[0].box_xyxy == (0.12, 0.0, 5.0, 4.0)
    assert len(render_instances(found, names, masks="rle", min_score=0.0, max_instances=2)) == 2


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
