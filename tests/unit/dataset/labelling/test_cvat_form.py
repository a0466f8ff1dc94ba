from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataset.labelling.cvat_form import (
    Frame,
    pre_labels_of,
    read_annotations,
    read_labels,
    read_runs,
    write_annotations,
    write_labels,
    write_runs,
)
from dataset.labelling.port import LabelTask
from maskloop.errors import DataError, MaskError
from maskloop.masks import decode_masks, encode_masks
from maskloop.pages.class_colours import class_colour

LABELS = [
    {"id": 1, "name": "nut", "type": "any", "attributes": [{"id": 11, "name": "is_crowd"}]},
    {"id": 2, "name": "bolt", "type": "any", "attributes": []},
]
FRAME = Frame(0, (6, 8))


def mask_of(*pixels: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((6, 8), dtype=bool)
    for row, column in pixels:
        mask[row, column] = True
    return mask


def drawn(*shapes: Mapping[str, object], **more: object) -> tuple[list[np.ndarray], str]:
    """What one frame holds: the masks, and why it cannot be used."""
    content = {"shapes": [{"frame": 0, "label_id": 1, **one} for one in shapes], **more}
    ((_, drawing, _),) = read_annotations(content, [FRAME], read_labels(LABELS))
    return [decode_masks([one.mask])[0] for one in drawing.instances], drawing.trouble


def test_a_mask_is_runs_through_its_box_row_by_row_and_the_box_with_its_last_row_and_column() -> None:
    (rle,) = encode_masks(mask_of((1, 2), (1, 3), (2, 3), (4, 2))[None])
    assert write_runs(rle) == [0, 2, 1, 1, 2, 1, 1, 2, 1, 3, 4]


def test_an_empty_mask_is_a_pixel_of_background() -> None:
    (rle,) = encode_masks(mask_of()[None])
    assert write_runs(rle) == [1, 0, 0, 0, 0]
    assert read_runs(write_runs(rle), 6, 8) == rle


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_every_mask_comes_back_as_it_went(mask: np.ndarray) -> None:
    (rle,) = encode_masks(mask[None])
    points = [float(one) for one in write_runs(rle)]
    assert read_runs(points, *mask.shape) == rle


@pytest.mark.parametrize(
    "points",
    [
        [],
        [0, 0, 0, 0],
        [1.5, 0, 0, 0, 0],
        [0, 4, 0, 0, 2, 2],
        [0, 9, 6, 4, 8, 6],
        [-1, 2, 0, 0, 0, 0],
        [0, 1, 3, 3, 2, 2],
        [float("nan"), 1, 0, 0, 0, 0],
    ],
)
def test_a_mask_that_is_broken_or_lies_outside_is_told(points: list[float]) -> None:
    with pytest.raises(MaskError):
        read_runs(points, 6, 8)
    masks, trouble = drawn({"type": "mask", "points": points})
    assert (masks, bool(trouble)) == ([], True)


def test_polygons_run_along_the_edges_of_pixels_and_ellipses_are_drawn() -> None:
    square = {"type": "polygon", "points": [1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]}
    ellipse = {"type": "ellipse", "points": [4.0, 3.0, 7.0, 1.0], "rotation": 0.0}
    (first, second), trouble = drawn(square, ellipse)
    assert (first.sum(), trouble) == (6, "")
    assert first[1:3, 1:4].all()
    assert second[1:5, 1:7].sum() == second.sum() == 20


def test_shapes_of_one_group_are_parts_of_one_object() -> None:
    one = {"type": "mask", "points": [0, 1, 0, 0, 0, 0], "group": 5}
    other = {"type": "mask", "points": [0, 1, 3, 3, 3, 3], "group": 5}
    alone = {"type": "mask", "points": [0, 1, 6, 1, 6, 1], "group": 0}
    masks, _ = drawn(one, other, alone)
    assert sorted(int(mask.sum()) for mask in masks) == [1, 2]


def test_what_is_no_mask_costs_the_picture_and_is_named() -> None:
    for kind in ("rectangle", "points", "polyline", "cuboid", "skeleton"):
        _, trouble = drawn({"type": kind, "points": [1.0, 1.0, 3.0, 3.0]})
        assert f"only a {kind}" in trouble
    _, trouble = drawn(tracks=[{"frame": 0, "label_id": 1, "shapes": []}])
    assert "drawn as a track" in trouble
    _, trouble = drawn({"type": "mask", "points": [0, 1, 0, 0, 0, 0], "label_id": 99})
    assert "an object has no class" in trouble


def test_labels_are_told_from_the_tag_and_from_parts_of_skeletons() -> None:
    tag = {"id": 3, "name": "maskloop", "type": "tag", "attributes": [{"id": 31, "name": "reason"}]}
    part = {"id": 4, "name": "knee", "type": "points", "attributes": [], "has_parent": True}
    labels = read_labels([*LABELS, tag, part])
    assert dict(labels.numbers) == {"nut": 1, "bolt": 2}
    assert (labels.tag, dict(labels.tag_attributes)) == (3, {"reason": 31})


def test_a_project_is_given_only_what_it_lacks() -> None:
    lacking = write_labels(["nut", "bolt"], read_labels(LABELS))
    assert [(one["name"], one.get("id")) for one in lacking] == [("bolt", 2), ("maskloop", None)]
    colours = [one["color"] for one in write_labels(["nut", "bolt"]) if "color" in one]
    assert colours == [f"#{bytes(class_colour(index)).hex()}" for index in (0, 1)]


def test_a_label_that_somebody_removed_is_named() -> None:
    task = LabelTask("s1", "d" * 64, b"", ".png", (6, 8), "belt", "r1", "drift", "dark")
    with pytest.raises(DataError, match="lost 'reason'"):
        write_annotations({0: pre_labels_of(task)}, read_labels(LABELS))
