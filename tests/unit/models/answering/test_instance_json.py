"""Instances become answers in the coordinates of the file, whatever its EXIF orientation, and back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import ExifTags, Image

from dataset.pictures.decoding import encode_png, open_picture
from dataset.pictures.orientation import orient_size, undo
from evaluation.instances import Detections
from maskloop.masks import encode_masks
from models.answering.instance_json import list_instances, read_instances, to_stored, write_instances
from tests.fakes.serving_world import CLASS_NAMES, detect

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


@pytest.mark.parametrize("orientation", range(1, 9))
@settings(max_examples=20, deadline=None)
@given(bitmap=bitmaps)
def test_what_was_written_is_read_as_it_was(orientation: int, bitmap: np.ndarray) -> None:
    found = detect(np.repeat((bitmap * 255).astype(np.uint8)[..., None], 3, axis=2))
    rows = write_instances(found, CLASS_NAMES, orientation=orientation)
    size_px = orient_size(found.height_px, found.width_px, undo(orientation))
    read = read_instances(rows, CLASS_NAMES, orientation=orientation, stored_size_px=size_px)
    assert (read.height_px, read.width_px) == (found.height_px, found.width_px)
    assert read.boxes_xyxy.tolist() == found.boxes_xyxy.tolist()
    assert (read.scores.tolist(), read.class_indices.tolist()) == (
        found.scores.tolist(),
        found.class_indices.tolist(),
    )
    assert read.masks == found.masks


def test_instances_are_cut_by_score_and_number_best_first() -> None:
    masks = encode_masks(np.ones((3, 4, 5), bool))
    boxes = np.tile(np.array([[0.123456, 0, 5, 4]], np.float32), (3, 1))
    found = Detections(4, 5, boxes, np.array([0.91, 0.62, 0.3], np.float32), np.array([1, 0, 1]), masks)
    names = ("bolt", "nut")
    told = list_instances(found, names, orientation=1, threshold=0.5)
    assert [(one.class_name, one.score) for one in told] == [("nut", 0.91), ("bolt", 0.62)]
    assert told[0].box_xyxy == (0.12, 0.0, 5.0, 4.0)
    assert len(list_instances(found, names, orientation=1, threshold=0.0, max_instances=2)) == 2
    own = list_instances(found, names, orientation=1, threshold=(0.7, 0.2))
    assert [one.score for one in own] == [0.91, 0.3], "each class has its own threshold"


def test_a_class_that_is_not_known_any_more_has_no_index() -> None:
    found = detect(np.full((4, 5, 3), 255, np.uint8))
    rows = [one.to_json() for one in list_instances(found, ("gear",), orientation=1, threshold=0.0)]
    read = read_instances(rows, CLASS_NAMES, orientation=1, stored_size_px=(4, 5))
    assert read.class_indices.tolist() == [-1]
