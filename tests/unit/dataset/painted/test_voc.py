"""Masks in the layout of Pascal VOC, which CVAT writes too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.coco.document import CocoFile
from dataset.formats.port import LabelSource
from dataset.pictures.decoding import encode_png
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from tests.fakes.label_scene import (
    CLASSES,
    EMPTY_PICTURE,
    EXACT,
    PICTURE,
    SCENE,
    Mask,
    scene_iou,
    write_scene_pictures,
)

NO_CROWD = EXACT | {"crowd": 0.0}
LABEL_MAP = (
    "# label:color_rgb:parts:actions\nbackground:0,0,0::\nnut:128,0,0::\nbolt:0,0,255::\ngear:9,9,9::\n"
)
COLOURS = {"nut": (128, 0, 0), "bolt": (0, 0, 255), "gear": (9, 9, 9)}
SCENE_PICTURE = f"JPEGImages/{PICTURE}"


def painted(colours: list[tuple[Mask, tuple[int, int, int]]]) -> np.ndarray:
    pixels = np.zeros((*SCENE[0].mask.shape, 3), np.uint8)
    for mask, colour in colours:
        pixels[mask] = colour
    return pixels


OBJECTS = painted([(one.mask, (10 * number, 5, 0)) for number, one in enumerate(SCENE, start=1)])
OF_CLASSES = painted([(one.mask, COLOURS[one.class_name]) for one in SCENE])


def read(folder: Path, name: str, objects: Any, classes: Any, label_map: str = LABEL_MAP) -> CocoFile:
    write_scene_pictures(folder / "JPEGImages")
    for kind, pixels in (("SegmentationObject", objects), ("SegmentationClass", classes)):
        (folder / kind).mkdir(exist_ok=True)
        if pixels is not None:
            (folder / kind / name).write_bytes(pixels if isinstance(pixels, bytes) else encode_png(pixels))
    if label_map:
        (folder / "labelmap.txt").write_text(label_map)
    return read_labels(LabelSource(folder))


def test_objects_come_back_exactly_with_the_class_of_their_other_colour(tmp_path: Path) -> None:
    coco = read(tmp_path, "scene.png", OBJECTS, OF_CLASSES)
    assert scene_iou(coco, SCENE_PICTURE) == NO_CROWD
    assert [one["name"] for one in coco.categories] == [*CLASSES]
    assert (coco.images_dir, coco.declares_classes) == (tmp_path, True)
    assert [(one.code, one.example) for one in coco.problems] == [
        ("label-file-missing", f"JPEGImages/{EMPTY_PICTURE}")
    ]


def test_a_label_map_without_colours_means_those_of_pascal_voc(tmp_path: Path) -> None:
    own = {"nut": (128, 0, 0), "bolt": (0, 128, 0), "gear": (128, 128, 0)}
    classes = painted([(one.mask, own[one.class_name]) for one in SCENE])
    label_map = "background:::\nnut:::\nbolt:::\ngear:::\n"
    assert scene_iou(read(tmp_path, "scene.png", OBJECTS, classes, label_map), SCENE_PICTURE) == NO_CROWD


def test_undecided_pixels_are_background_and_that_is_told(tmp_path: Path) -> None:
    objects = OBJECTS.copy()
    objects[SCENE[3].mask] = (224, 224, 192)
    coco = read(tmp_path, "scene.png", objects, OF_CLASSES)
    assert len(coco.annotations) == 4
    assert "void-as-background" in [one.code for one in coco.problems]


TWO_CLASSES = painted(
    [(SCENE[0].mask, COLOURS["nut"]), (SCENE[0].mask & (np.arange(100) < 20), COLOURS["bolt"])]
)
BAD_MASKS = {
    "two classes of one object": (painted([(SCENE[0].mask, (1, 1, 1))]), TWO_CLASSES, "0,0,255 and 128,0,0"),
    "no class": (painted([(SCENE[0].mask, (1, 1, 1))]), 0 * OBJECTS, "the colours none"),
    "a class without a name": (OBJECTS, painted([(one.mask, (7, 7, 7)) for one in SCENE]), "colours 7,7,7"),
    "no mask of classes": (OBJECTS, None, "SegmentationClass/empty.png cannot be read"),
    "two sizes": (OBJECTS, OF_CLASSES[:50], "differ in size"),
    "half a file": (OBJECTS, encode_png(OF_CLASSES)[:80], "decoded"),
}


@pytest.mark.parametrize("what", BAD_MASKS)
def test_a_bad_mask_costs_its_picture_alone(what: str, tmp_path: Path) -> None:
    objects, classes, message = BAD_MASKS[what]
    read(tmp_path, "scene.png", OBJECTS, OF_CLASSES)
    (problem,) = read(tmp_path, "empty.png", objects, classes).problems
    assert (problem.severity, problem.picture) == ("error", f"JPEGImages/{EMPTY_PICTURE}")
    assert message in problem.message
    coco = read_labels(LabelSource(tmp_path))
    assert scene_iou(coco, SCENE_PICTURE) == NO_CROWD


def test_a_mask_without_a_picture_costs_itself(tmp_path: Path) -> None:
    read(tmp_path, "scene.png", OBJECTS, OF_CLASSES)
    coco = read(tmp_path, "other.png", OBJECTS, OF_CLASSES)
    assert ("picture-missing", "SegmentationObject/other.png") in [
        (one.code, one.picture) for one in coco.problems
    ]


def test_without_names_or_pictures_the_expected_layout_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="but not labelmap") as caught:
        read(tmp_path, "scene.png", OBJECTS, OF_CLASSES, label_map="")
    assert "JPEGImages" in caught.value.hint
    for picture in (tmp_path / "JPEGImages").iterdir():
        picture.unlink()
    (tmp_path / "labelmap.txt").write_text(LABEL_MAP)
    with pytest.raises(DataError, match="but not the pictures"):
        read_labels(LabelSource(tmp_path))


def test_masks_of_classes_alone_are_refused(tmp_path: Path) -> None:
    write_scene_pictures(tmp_path / "JPEGImages")
    write_scene_pictures(tmp_path / "SegmentationClass")
    with pytest.raises(DataError, match="without those of objects are not read"):
        read_labels(LabelSource(tmp_path))
