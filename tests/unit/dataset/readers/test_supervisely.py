"""Supervisely's projects: bitmaps, polygons whose border belongs to them, and what costs a picture."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.coco.document import CocoFile
from dataset.formats.port import LabelSource
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from tests.fakes.label_scene import (
    EMPTY_PICTURE,
    EXACT,
    PICTURE,
    SCENE,
    WIDTH_PX,
    scene_iou,
    write_scene_pictures,
)
from tests.fakes.supervisely_files import bitmap_of, label, packed, points_of, write_project

NO_CROWD = EXACT | {"crowd": 0.0}
"""The format has no crowds."""


def write(folder: Path, objects: list[Any], **changes: Any) -> None:
    write_scene_pictures(folder / "monday" / "img")
    write_project(folder, objects, **changes)


def read(folder: Path, objects: list[Any]) -> CocoFile:
    write(folder, objects)
    return read_labels(LabelSource(folder))


def test_bitmaps_come_back_exactly(tmp_path: Path) -> None:
    write(tmp_path, [], picture=EMPTY_PICTURE)
    coco = read(tmp_path, [bitmap_of(one) for one in SCENE])
    assert scene_iou(coco, f"monday/img/{PICTURE}") == NO_CROWD
    assert (len(coco.annotations), len(coco.images), coco.problems) == (5, 2, ())
    assert (coco.read_as, coco.images_dir) == ("Supervisely", tmp_path)
    assert coco.annotations[0]["origin"] == {
        "tool": "Supervisely",
        "task": "monday",
        "annotator": "ann",
        "time": "2026-12-01",
    }


def test_the_border_of_a_polygon_belongs_to_it_and_that_of_a_hole_does_not(tmp_path: Path) -> None:
    polygons = [label(one.class_name, "polygon", points=points_of(one)[0]) for one in SCENE]
    coco = read(tmp_path, polygons)
    assert scene_iou(coco, f"monday/img/{PICTURE}") == NO_CROWD | {"two": 0.5}


def test_parts_are_one_object_if_they_are_one_shape_or_bound_together(tmp_path: Path) -> None:
    two = SCENE[1]
    whole = label("bolt", "multipolygon", parts=points_of(two))
    bound = [label("bolt", "polygon", points=points, instance="b7f1") for points in points_of(two)]
    for objects in ([whole], bound):
        coco = read(tmp_path, objects)
        assert scene_iou(coco, f"monday/img/{PICTURE}")["two"] == 1.0
        assert len(coco.annotations) == 1


def test_a_bitmap_may_be_packed_once(tmp_path: Path) -> None:
    one = bitmap_of(SCENE[0])
    one["bitmap"]["data"] = base64.b64encode(
        zlib.decompress(base64.b64decode(one["bitmap"]["data"]))
    ).decode()
    assert scene_iou(read(tmp_path, [one]), f"monday/img/{PICTURE}")["ring"] == 1.0


def bitmap(data: str, origin: Any = (0, 0)) -> dict[str, Any]:
    return label("nut", "bitmap", bitmap={"data": data, "origin": list(origin) if origin else origin})


ONE_PIXEL = packed(np.ones((1, 1), bool))
BAD_SHAPES: dict[str, tuple[Any, str]] = {
    "a rectangle": (label("nut", "rectangle", points={"exterior": [[0, 0], [5, 5]]}), "only a rectangle"),
    "an undeclared class": (bitmap(ONE_PIXEL) | {"classTitle": "cog"}, "'cog' is not among"),
    "a bitmap outside": (bitmap(ONE_PIXEL, (WIDTH_PX, 0)), "inside the picture"),
    "a bitmap of no place": (bitmap(ONE_PIXEL, None), "origin is []"),
    "no base64": (bitmap("%%%"), "cannot be read"),
    "no zlib": (bitmap(base64.b64encode(b"text").decode()), "cannot be read"),
    "no picture": (bitmap(base64.b64encode(zlib.compress(b"text")).decode()), "no JPEG, PNG"),
    "no points": (label("nut", "polygon", points={}), "no list of points"),
    "points of three numbers": (
        label("nut", "polygon", points={"exterior": [[1, 2, 3]] * 3}),
        "list of points",
    ),
    "a point of text": (label("nut", "polygon", points={"exterior": [["1", 2]] * 3}), "a number is expected"),
    "a point far away": (label("nut", "polygon", points={"exterior": [[1e9, 2]] * 3}), "far outside"),
    "nothing": (None, "shape of no kind"),
}


@pytest.mark.parametrize("what", BAD_SHAPES)
def test_a_bad_shape_costs_its_picture_alone(what: str, tmp_path: Path) -> None:
    shape, message = BAD_SHAPES[what]
    write(tmp_path, [bitmap_of(SCENE[2]), shape], picture=EMPTY_PICTURE)
    coco = read(tmp_path, [bitmap_of(SCENE[0])])
    (problem,) = coco.problems
    assert (problem.severity, problem.picture) == ("error", f"monday/img/{EMPTY_PICTURE}")
    assert message in problem.message
    assert scene_iou(coco, f"monday/img/{PICTURE}")["ring"] == 1.0


def test_a_bitmap_that_grows_without_end_is_cut_off(tmp_path: Path) -> None:
    bomb = base64.b64encode(zlib.compress(bytes(2**28))).decode()
    (problem,) = read(tmp_path, [bitmap(bomb)]).problems
    assert "no JPEG, PNG" in problem.message


def test_a_file_without_size_or_sense_costs_its_picture(tmp_path: Path) -> None:
    write(tmp_path, [], picture=EMPTY_PICTURE, size={"height": 0})
    write(tmp_path, [bitmap_of(SCENE[0])])
    (tmp_path / "monday" / "ann" / "third.png.json").write_text("{")
    coco = read_labels(LabelSource(tmp_path))
    assert [(one.picture, one.severity) for one in coco.problems] == [
        (f"monday/img/{EMPTY_PICTURE}", "error"),
        ("monday/img/third.png", "error"),
    ]
    assert scene_iou(coco, f"monday/img/{PICTURE}")["ring"] == 1.0


def test_a_folder_without_labels_is_refused_where_a_person_says_it_is_a_project(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(DataError, match="no project of Supervisely"):
        read_labels(LabelSource(tmp_path), key="supervisely")
