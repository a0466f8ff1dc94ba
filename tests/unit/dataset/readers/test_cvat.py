"""CVAT for images XML: masks row by row, groups, subsets, and what costs a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset.coco.document import CocoFile
from dataset.formats.port import LabelSource
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from tests.fakes.cvat_files import document, element, image, mask_of, polygons_of
from tests.fakes.label_scene import (
    EMPTY_PICTURE,
    EXACT,
    HEIGHT_PX,
    PICTURE,
    SCENE,
    WIDTH_PX,
    read_objects,
    scene_iou,
    write_scene_pictures,
)


def read(folder: Path, xml: str, pictures: str = "images") -> CocoFile:
    write_scene_pictures(folder / pictures)
    (folder / "annotations.xml").write_text(xml, encoding="utf-8")
    return read_labels(LabelSource(folder))


def test_brush_masks_come_back_exactly(tmp_path: Path) -> None:
    coco = read(tmp_path, document(image("".join(map(mask_of, SCENE))), image(name=EMPTY_PICTURE, id=1)))
    assert scene_iou(coco) == EXACT
    assert (len(coco.annotations), len(coco.images), coco.problems) == (5, 2, ())
    assert (coco.read_as, coco.images_dir) == ("CVAT for images XML", tmp_path / "images")
    assert coco.annotations[0]["origin"] == {
        "tool": "CVAT",
        "task": "Monday",
        "annotator": "ann",
        "time": "2026-11-30 10:00:00",
    }


def test_polygons_of_one_group_and_class_are_one_object(tmp_path: Path) -> None:
    shapes = "".join(polygons_of(one, group) for group, one in enumerate(SCENE, start=1))
    coco = read(tmp_path, document(image(shapes)))
    assert scene_iou(coco) == EXACT | {"crowd": 0.0}
    assert len(coco.annotations) == 5
    (told,) = coco.problems
    assert (told.code, told.severity, told.example) == ("parts-joined", "info", PICTURE)


def test_a_group_of_several_classes_stays_several_objects(tmp_path: Path) -> None:
    coco = read(tmp_path, document(image("".join(polygons_of(one, 1) for one in SCENE[1:3]))))
    assert [annotation["category_id"] for annotation in coco.annotations] == [2, 3]


def test_a_box_beside_the_mask_of_its_group_adds_nothing(tmp_path: Path) -> None:
    box = element("box", label="bolt", xtl=0, ytl=0, xbr=50, ybr=50, group_id=1)
    coco = read(tmp_path, document(image(box + polygons_of(SCENE[1], 1))))
    assert scene_iou(coco)["two"] == 1.0
    assert len(coco.annotations) == 1


def test_an_ellipse_is_drawn(tmp_path: Path) -> None:
    shape = element("ellipse", label="nut", cx=50, cy=40, rx=20, ry=10, rotation=90)
    (found,) = read_objects(read(tmp_path, document(image(shape))), PICTURE)
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX] + 0.5
    assert np.array_equal(found.mask, ((x - 50) / 10) ** 2 + ((y - 40) / 20) ** 2 <= 1)


def test_subsets_of_a_project_lie_in_folders_of_their_names(tmp_path: Path) -> None:
    mask = mask_of(SCENE[4])
    xml = document(image(mask, subset="Train"), image(mask, name=EMPTY_PICTURE, subset="Test"))
    for subset in ("Train", "Test"):
        write_scene_pictures(tmp_path / "images" / subset)
    coco = read(tmp_path, xml, pictures="images/Train")
    assert [one["file_name"] for one in coco.images] == [f"Train/{PICTURE}", f"Test/{EMPTY_PICTURE}"]
    assert scene_iou(coco, f"Train/{PICTURE}")["edge"] == 1.0


def test_a_size_that_is_not_told_is_the_pictures(tmp_path: Path) -> None:
    shapes = "".join(map(mask_of, SCENE))
    coco = read(tmp_path, document(element("image", shapes, id=0, name=PICTURE)))
    assert scene_iou(coco) == EXACT


def test_the_file_alone_is_read_with_the_pictures_beside_it(tmp_path: Path) -> None:
    write_scene_pictures(tmp_path)
    (tmp_path / "annotations.xml").write_text(document(image(mask_of(SCENE[0]))))
    coco = read_labels(LabelSource(tmp_path / "annotations.xml"))
    assert (scene_iou(coco)["ring"], coco.images_dir) == (1.0, tmp_path)


BAD_SHAPES = {
    "a box": (element("box", label="nut", xtl=0, ytl=0, xbr=5, ybr=5), "only a box"),
    "a line": (element("polyline", label="nut", points="0,0;5,5;5,0"), "only a polyline"),
    "runs that do not add up": (
        element("mask", label="nut", rle="3, 4", left=0, top=0, width=4, height=4),
        "do not add up",
    ),
    "runs below 0": (
        element("mask", label="nut", rle="-4, 20", left=0, top=0, width=4, height=4),
        "do not add up",
    ),
    "a run of letters": (
        element("mask", label="nut", rle="a, 4", left=0, top=0, width=4, height=4),
        "whole numbers",
    ),
    "a mask outside": (
        element("mask", label="nut", rle="0, 16", left=98, top=0, width=4, height=4),
        "inside the picture",
    ),
    "a huge mask": (
        element("mask", label="nut", rle="0, 16", left=0, top=0, width=10**6, height=10**6),
        "1000000 x 1000000 px",
    ),
    "a point with one number": (element("polygon", label="nut", points="0,0;5;5,0"), "2 numbers"),
    "an unknown shape": (element("spline", label="nut"), "not known: spline"),
    "an undeclared class": (element("polygon", label="cog", points="0,0;5,5;5,0"), "'cog' is not among"),
    "an ellipse of no size": (element("ellipse", label="nut", cx=5, cy=5, rx=0, ry=1), "radii above 0"),
}


@pytest.mark.parametrize("what", BAD_SHAPES)
def test_a_bad_shape_costs_its_picture_alone(what: str, tmp_path: Path) -> None:
    shape, message = BAD_SHAPES[what]
    coco = read(tmp_path, document(image(shape, name=EMPTY_PICTURE, id=1), image(mask_of(SCENE[0]))))
    (problem,) = coco.problems
    assert (problem.severity, problem.picture) == ("error", EMPTY_PICTURE)
    assert message in problem.message
    assert problem.where.startswith("annotations.xml: image 1")
    assert scene_iou(coco)["ring"] == 1.0


BAD_FILES = {
    "cut off": (document(image())[:-30], "not XML"),
    "a film": (document(element("track", id=0, label="nut")), "tracks of a film"),
    "entities": (
        document(image()).replace("<annotations>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotations>"),
        "document type",
    ),
    "elements too deep": (document("<image>" * 60 + "</image>" * 60), "deep"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_file_that_cannot_be_read_is_refused_by_name(what: str, tmp_path: Path) -> None:
    xml, message = BAD_FILES[what]
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, xml)
    assert caught.value.where == str(tmp_path / "annotations.xml")
