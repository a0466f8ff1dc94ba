"""VGG Image Annotator: three versions, which attribute is the class, and what costs a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from dataset.coco.document import CocoFile
from dataset.formats.port import LabelSource
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from tests.fakes.label_scene import (
    EMPTY_PICTURE,
    EXACT,
    HEIGHT_PX,
    PICTURE,
    WIDTH_PX,
    read_objects,
    scene_iou,
    write_scene_pictures,
)
from tests.fakes.via_files import REGIONS, VERSIONS, picture, polygon, region, version_3

AS_OUTLINES = EXACT | {"ring": 0.938, "two": 0.5, "crowd": 0.0}
"""The tool has neither holes nor parts nor crowds."""


def read(folder: Path, content: Any) -> CocoFile:
    write_scene_pictures(folder)
    (folder / "labels.json").write_text(json.dumps(content))
    return read_labels(LabelSource(folder))


@pytest.mark.parametrize("version", VERSIONS)
def test_outlines_come_back_from_every_version(version: str, tmp_path: Path) -> None:
    coco = read(tmp_path, VERSIONS[version])
    assert scene_iou(coco) == AS_OUTLINES
    assert (len(coco.annotations), len(coco.images), coco.problems) == (6, 2, ())
    assert coco.read_as == "VGG Image Annotator JSON"
    assert [one["name"] for one in coco.categories] == ["bolt", "gear", "nut"]


def test_circles_and_ellipses_are_drawn_on_the_picture_as_its_viewer_turns_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(tmp_path / "photo.jpg", exif=exif.tobytes())
    circle = {"name": "circle", "cx": 40, "cy": 50, "r": 10}
    ellipse = {"name": "ellipse", "cx": 40, "cy": 50, "rx": 30, "ry": 10, "theta": np.pi / 2}
    coco = read(tmp_path, picture([region(circle, kind="nut"), region(ellipse, kind="bolt")], "photo.jpg"))
    assert coco.images[0]["frame"] == "upright"
    found = {one.class_name: one.mask for one in read_objects(coco, "photo.jpg")}
    y, x = np.mgrid[:WIDTH_PX, :HEIGHT_PX] + 0.5
    assert np.array_equal(found["nut"], (x - 40) ** 2 + (y - 50) ** 2 <= 100)
    assert np.array_equal(found["bolt"], ((x - 40) / 10) ** 2 + ((y - 50) / 30) ** 2 <= 1)


def test_a_rectangle_is_a_region_like_any_other(tmp_path: Path) -> None:
    second = region({"name": "rect", "x": 80, "y": 60, "width": 20, "height": 20}, kind="gear")
    assert scene_iou(read(tmp_path, picture([second])))["edge"] == 1.0
    third = version_3()
    third["metadata"]["1_0"] |= {"xy": [2, 80, 60, 20, 20], "av": {"1": "2"}}
    assert scene_iou(read(tmp_path, third))["edge"] == 1.0


TRIANGLE = polygon([(0, 0), (9, 0), (9, 9)])


@pytest.mark.parametrize(
    ("attributes", "class_name"),
    [
        ({"what": "nut"}, "nut"),
        ({"class": "nut", "state": "rusty"}, "nut"),
        ({"Label": "nut", "colour": "red"}, "nut"),
        ({"what": {"nut": True, "bolt": False}}, "nut"),
    ],
)
def test_the_class_is_the_only_attribute_or_the_one_called_so(
    attributes: dict[str, Any], class_name: str, tmp_path: Path
) -> None:
    coco = read(tmp_path, picture([region(TRIANGLE, **attributes)]))
    assert [one["name"] for one in coco.categories] == [class_name]


def test_several_attributes_are_named_and_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 attributes") as caught:
        read(tmp_path, picture([region(TRIANGLE, state="rusty", what="nut")]))
    assert caught.value.hint == 'rename one of them to "class": state, what'
    with pytest.raises(DataError, match="no region says what it shows"):
        read(tmp_path, picture([region(TRIANGLE)]))


def test_a_picture_with_an_address_is_known_by_its_last_part(tmp_path: Path) -> None:
    write_scene_pictures(tmp_path / "images")
    for told in (f"http://localhost/a/{PICTURE}", f"/home/ann/{PICTURE}", f"file:///home/ann/{PICTURE}"):
        coco = read(tmp_path, picture([region(TRIANGLE, what="nut")], told))
        assert coco.images[0]["file_name"] == PICTURE


BAD_REGIONS: dict[str, tuple[Any, str]] = {
    "a point": (region({"name": "point", "cx": 1, "cy": 1}, kind="nut"), "only a point"),
    "no shape": (region({}, kind="nut"), "shape of no kind"),
    "no class": (region(TRIANGLE), "no class"),
    "two ticks": (region(TRIANGLE, kind={"nut": True, "bolt": True}), "no class"),
    "half a point": (region({**TRIANGLE, "all_points_y": [1, 2]}, kind="nut"), "3 x and 2 y"),
    "text": (region({**TRIANGLE, "all_points_y": ["1", 2, 3]}, kind="nut"), "'1' where a number"),
    "a circle of no size": (region({"name": "circle", "cx": 1, "cy": 1}, kind="nut"), "None where a number"),
    "a list": ([], "shape of no kind"),
}


@pytest.mark.parametrize("what", BAD_REGIONS)
def test_a_bad_region_costs_its_picture_alone(what: str, tmp_path: Path) -> None:
    bad, message = BAD_REGIONS[what]
    coco = read(tmp_path, picture(REGIONS) | picture([REGIONS[0], bad], EMPTY_PICTURE))
    (problem,) = coco.problems
    assert (problem.severity, problem.picture) == ("error", EMPTY_PICTURE)
    assert message in problem.message
    assert scene_iou(coco)["edge"] == 1.0


def test_several_projects_are_named(tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text(json.dumps(picture(REGIONS)))
    with pytest.raises(DataError, match="2 projects") as caught:
        read(tmp_path, picture(REGIONS))
    assert caught.value.hint == "name one of them: labels.json, more.json"
