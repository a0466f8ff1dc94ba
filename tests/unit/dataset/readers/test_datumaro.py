"""Datumaro's JSON: masks that are no crowds, groups, subsets, and what costs a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataset.coco.document import CocoFile
from dataset.formats.port import LabelSource
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from maskloop.masks import encode_masks
from tests.fakes.datumaro_files import SIZE, item, mask_of, polygons_of, write_items
from tests.fakes.label_scene import (
    EMPTY_PICTURE,
    EXACT,
    PICTURE,
    SCENE,
    scene_iou,
    write_scene_pictures,
)


def write(folder: Path, *items: Any, subset: str = "default") -> None:
    write_scene_pictures(folder / "images" / subset)
    write_items(folder, *items, subset=subset)


def read(folder: Path, *items: Any) -> CocoFile:
    write(folder, *items)
    return read_labels(LabelSource(folder))


def test_masks_come_back_exactly_and_only_what_is_called_a_crowd_is_one(tmp_path: Path) -> None:
    coco = read(tmp_path, item([mask_of(one) for one in SCENE]), item([], EMPTY_PICTURE))
    assert scene_iou(coco, f"default/{PICTURE}") == EXACT
    assert (len(coco.annotations), len(coco.images), coco.problems) == (5, 2, ())
    assert (coco.read_as, coco.images_dir) == ("Datumaro JSON", tmp_path / "images")


def test_polygons_of_one_group_are_one_object(tmp_path: Path) -> None:
    shapes = [shape for group, one in enumerate(SCENE, start=1) for shape in polygons_of(one, group)]
    coco = read(tmp_path, item(shapes))
    assert scene_iou(coco, f"default/{PICTURE}") == EXACT
    assert len(coco.annotations) == 5


def test_labels_and_captions_of_the_picture_are_no_objects(tmp_path: Path) -> None:
    others = [{"type": "label", "label_id": 0}, {"type": "caption", "caption": "two nuts"}]
    coco = read(tmp_path, item([*others, mask_of(SCENE[0])]))
    assert (len(coco.annotations), coco.problems) == (1, ())


def test_every_subset_is_read_with_its_own_pictures(tmp_path: Path) -> None:
    write(tmp_path, item([mask_of(SCENE[0])]), subset="train")
    write(tmp_path, item([mask_of(SCENE[1])]), subset="test")
    coco = read_labels(LabelSource(tmp_path))
    assert [one["file_name"] for one in coco.images] == [f"test/{PICTURE}", f"train/{PICTURE}"]
    assert (scene_iou(coco, f"test/{PICTURE}")["two"], scene_iou(coco, f"train/{PICTURE}")["ring"]) == (1, 1)


@pytest.mark.parametrize("path", ["/home/ann/pictures/scene.png", "../scene.png", "C:\\photos\\scene.png"])
def test_a_picture_is_known_by_its_own_name_wherever_it_lay(path: str, tmp_path: Path) -> None:
    write_scene_pictures(tmp_path / "images")
    coco = read(tmp_path, item([mask_of(SCENE[0])], path=path))
    assert coco.images[0]["file_name"] == f"default/{PICTURE}"


BAD_SHAPES: dict[str, tuple[Any, str]] = {
    "a box": ({"type": "bbox", "label_id": 0, "bbox": [1, 2, 3, 4]}, "only a bbox"),
    "an unknown label": (mask_of(SCENE[0]) | {"label_id": 3}, "label_id is 3"),
    "no label": (mask_of(SCENE[0]) | {"label_id": None}, "label_id is None"),
    "a mask of another size": (
        mask_of(SCENE[0]) | {"rle": encode_masks(SCENE[0].mask[None, :50])[0].to_coco()},
        "is not the picture's",
    ),
    "a mask of no size": (mask_of(SCENE[0]) | {"rle": {"size": [0, 5], "counts": ""}}, "size is [0, 5]"),
    "a mask that goes on": (
        mask_of(SCENE[0]) | {"rle": {"size": SIZE, "counts": "P"}},
        "middle of a number",
    ),
    "a shape of no kind": ({"label_id": 0}, "shape of no kind"),
    "no shape": (7, "label_id is None"),
}


@pytest.mark.parametrize("what", BAD_SHAPES)
def test_a_bad_shape_costs_its_picture_alone(what: str, tmp_path: Path) -> None:
    shape, message = BAD_SHAPES[what]
    coco = read(tmp_path, item([shape, mask_of(SCENE[2])], EMPTY_PICTURE), item([mask_of(SCENE[0])]))
    (problem,) = coco.problems
    assert (problem.severity, problem.picture) == ("error", f"default/{EMPTY_PICTURE}")
    assert message in problem.message
    assert problem.where == "annotations/default.json: /items/0/annotations/0"
    assert scene_iou(coco, f"default/{PICTURE}")["ring"] == 1.0


def test_items_that_are_none_cost_themselves(tmp_path: Path) -> None:
    coco = read(tmp_path, None, 5, item([mask_of(SCENE[0])]))
    assert [one["file_name"] for one in coco.images[:2]] == ["item 0", "item 1"]
    assert scene_iou(coco, f"default/{PICTURE}")["ring"] == 1.0


def test_another_json_is_refused_where_a_person_says_it_is_datumaros(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="no JSON of Datumaro"):
        read_labels(LabelSource(tmp_path), key="datumaro")
