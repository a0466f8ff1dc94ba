"""Masks painted as pictures: numbers, files, classes, and what is no mask of objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.coco.document import CocoFile
from dataset.formats.port import LabelSource
from dataset.pictures.decoding import encode_png
from dataset.readers.table import READERS, read_labels
from maskloop.errors import DataError
from tests.fakes.field_pictures import tiff
from tests.fakes.label_scene import (
    EMPTY_PICTURE,
    EXACT,
    HEIGHT_PX,
    PICTURE,
    SCENE,
    WIDTH_PX,
    block,
    read_objects,
    scene_iou,
    scene_png,
    write_scene_pictures,
)
from tests.fakes.painted_files import SCENE_CLASSES, numbered, saved

PICTURES = f"images/{PICTURE}"
NO_CROWD = EXACT | {"crowd": 0.0}
"""Numbers alone make no crowds."""


def write(folder: Path, masks: dict[str, Any], classes: Any = None) -> CocoFile:
    write_scene_pictures(folder / "images")
    for name, values in masks.items():
        file = folder / "masks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(values if isinstance(values, bytes) else saved(Image.fromarray(values)))
    if classes is not None:
        (folder / "classes.json").write_text(json.dumps(classes))
    return read_labels(LabelSource(folder))


class TestANumberForEachObject:
    @pytest.mark.parametrize("key", ["scene", "scene.png", PICTURES])
    def test_with_classes_in_a_file(self, key: str, tmp_path: Path) -> None:
        coco = write(tmp_path, {"scene.png": numbered(), "empty.png": 0 * numbered()}, {key: SCENE_CLASSES})
        assert scene_iou(coco, PICTURES) == NO_CROWD
        assert (len(coco.annotations), len(coco.images), coco.problems) == (5, 2, ())
        assert (coco.read_as, coco.images_dir) == ("masks painted as pictures", tmp_path)

    def test_with_classes_in_a_table(self, tmp_path: Path) -> None:
        rows = "".join(f"scene, {number}, {name}\n" for number, name in SCENE_CLASSES.items())
        (tmp_path / "classes.csv").write_text(f"Picture, Number, Class\n{rows}")
        assert scene_iou(write(tmp_path, {"scene.png": numbered()}), PICTURES) == NO_CROWD

    def test_with_folders_of_classes(self, tmp_path: Path) -> None:
        masks = {
            f"{name}/scene.png": np.where(
                np.any([one.mask for one in SCENE if one.class_name == name], axis=0), numbered(), 0
            ).astype(np.uint8)
            for name in ("nut", "bolt", "gear")
        }
        coco = write(tmp_path, masks)
        assert scene_iou(coco, PICTURES) == NO_CROWD
        assert [one["name"] for one in coco.categories] == ["bolt", "gear", "nut"]

    def test_with_one_class_for_all(self, tmp_path: Path) -> None:
        coco = write(tmp_path, {"scene.png": numbered()}, {"*": "part"})
        assert [one["name"] for one in coco.categories] == ["part"]
        assert len(coco.annotations) == 5

    def test_in_sixteen_bits_in_a_palette_or_in_colours(self, tmp_path: Path) -> None:
        palette = Image.fromarray(numbered())
        palette.putpalette([0, 0, 0] * 256)
        colours = np.stack([numbered(), 3 * numbered(), 9 * numbered()], axis=2)
        deep = numbered(np.uint16, factor=300)
        classes = {str(int(n) * 300): name for n, name in SCENE_CLASSES.items()}
        assert scene_iou(write(tmp_path / "a", {"scene.png": deep}, {"scene": classes}), PICTURES) == NO_CROWD
        coco = write(tmp_path / "b", {"scene.png": saved(palette)}, {"scene": SCENE_CLASSES})
        assert scene_iou(coco, PICTURES) == NO_CROWD
        by_colour = {
            str(n << 16 | 3 * n << 8 | 9 * n): one.class_name for n, one in enumerate(SCENE, start=1)
        }
        coco = write(tmp_path / "c", {"scene.png": colours}, {"scene": by_colour})
        assert scene_iou(coco, PICTURES) == NO_CROWD

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_in_a_tiff(self, dtype: Any, tmp_path: Path) -> None:
        coco = write(tmp_path, {"scene.tif": tiff(numbered(dtype))}, {"scene": SCENE_CLASSES})
        assert scene_iou(coco, PICTURES) == NO_CROWD

    def test_where_255_is_undecided_it_is_a_crowd_of_the_folders_class(self, tmp_path: Path) -> None:
        values = np.where(SCENE[0].mask, 1, 0) + np.where(SCENE[3].mask, 255, 0)
        found = [*read_objects(write(tmp_path, {"nut/scene.png": values.astype(np.uint8)}), PICTURES)]
        assert [(one.is_crowd, int(one.mask.sum())) for one in found] == [(False, 1500), (True, 450)]

    def test_where_255_has_no_class_it_is_background_and_that_is_told(self, tmp_path: Path) -> None:
        values = numbered()
        values[values == 4] = 255
        coco = write(tmp_path, {"scene.png": values, "empty.png": 0 * values}, {"scene": SCENE_CLASSES})
        assert len(coco.annotations) == 4
        assert [(one.severity, one.code) for one in coco.problems] == [("warning", "void-as-background")]

    def test_255_is_an_object_where_254_is_one(self, tmp_path: Path) -> None:
        values = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        values[0, :3] = (1, 254, 255)
        found = [*read_objects(write(tmp_path, {"nut/scene.png": values}), PICTURES)]
        assert [one.is_crowd for one in found] == [False] * 3


class TestAFileForEachObject:
    @pytest.mark.parametrize(
        "pattern", ["scene_{class_name}_{number}.png", "{class_name}/scene_{number}.png"]
    )
    def test_named_after_picture_and_class(self, pattern: str, tmp_path: Path) -> None:
        masks = {
            pattern.format(class_name=one.class_name, number=number): one.mask.astype(np.uint8) * 255
            for number, one in enumerate(SCENE)
        }
        coco = write(tmp_path, masks)
        assert scene_iou(coco, PICTURES) == NO_CROWD
        assert (len(coco.annotations), [one.code for one in coco.problems]) == (5, ["label-file-missing"])

    def test_of_one_bit(self, tmp_path: Path) -> None:
        coco = write(tmp_path, {"scene_nut_1.png": saved(Image.fromarray(SCENE[0].mask))})
        assert scene_iou(coco, PICTURES)["ring"] == 1.0

    def test_in_a_folder_for_each_picture(self, tmp_path: Path) -> None:
        for name, one in (("a1", SCENE[0]), ("b2", SCENE[2])):
            folder = tmp_path / name
            (folder / "images").mkdir(parents=True)
            (folder / "masks").mkdir()
            (folder / "images" / f"{name}.png").write_bytes(scene_png())
            (folder / "masks" / "0f3e.png").write_bytes(
                encode_png(255 * np.dstack([one.mask] * 3).astype(np.uint8))
            )
        (tmp_path / "classes.json").write_text('{"*": "nut"}')
        coco = read_labels(LabelSource(tmp_path))
        assert scene_iou(coco, "a1/images/a1.png")["ring"] == 1.0
        assert len(coco.annotations) == 2


SEVERAL = {"scene.png": numbered()}
BAD_MASKS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "a number without a class": ({"empty.png": numbered()}, {"empty": {"1": "nut"}}, "has no class"),
    "no class": ({"empty.png": numbered()}, {"scene": SCENE_CLASSES}, "nothing names the class"),
    "black and white": (
        {"nut/empty.png": SCENE[0].mask.astype(np.uint8) * 255},
        {"scene": SCENE_CLASSES},
        "black and white",
    ),
    "two numbers for one object": (
        {"empty_nut_1.png": numbered()},
        {"scene": SCENE_CLASSES},
        "of one object",
    ),
    "soft edges": (
        {"nut/empty.png": np.arange(1, 30_001, dtype=np.uint16).reshape(100, 300)},
        {"scene": SCENE_CLASSES},
        "30000 different numbers",
    ),
    "a JPEG": (
        {"nut/empty.jpg": saved(Image.fromarray(numbered()), "JPEG")},
        {"scene": SCENE_CLASSES},
        "JPEG",
    ),
    "half a file": (
        {"nut/empty.png": saved(Image.fromarray(numbered()))[:60]},
        {"scene": SCENE_CLASSES},
        "decoded",
    ),
    "two sizes": (
        {"nut/empty.png": numbered(), "bolt/empty.png": numbered()[:50]},
        {"scene": SCENE_CLASSES},
        "differ in size",
    ),
}


@pytest.mark.parametrize("what", BAD_MASKS)
def test_a_bad_mask_costs_its_picture_alone(what: str, tmp_path: Path) -> None:
    masks, classes, message = BAD_MASKS[what]
    coco = write(tmp_path, masks | SEVERAL, {"scene": SCENE_CLASSES} | classes)
    (problem,) = coco.problems
    assert (problem.severity, problem.picture) == ("error", f"images/{EMPTY_PICTURE}")
    assert message in problem.message
    assert scene_iou(coco, PICTURES) == NO_CROWD


def test_a_mask_without_a_picture_costs_itself(tmp_path: Path) -> None:
    coco = write(
        tmp_path, SEVERAL | {"other.png": numbered(), "empty.png": 0 * numbered()}, {"scene": SCENE_CLASSES}
    )
    assert [(one.code, one.picture) for one in coco.problems] == [("picture-missing", "masks/other.png")]


class TestAClassForEachPixel:
    def test_is_refused_where_the_file_of_classes_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no single objects") as caught:
            write(tmp_path, SEVERAL, {"1": "nut", "2": "bolt"})
        assert "objects that touch would become one" in caught.value.hint

    def test_is_refused_where_every_mask_has_one_number_in_several_regions(self, tmp_path: Path) -> None:
        coco = write(tmp_path, {"bolt/scene.png": SCENE[1].mask.astype(np.uint8)})
        assert [(one.code, one.picture) for one in coco.problems if one.severity == "error"] == [
            ("masks-semantic", "")
        ]

    def test_is_not_suspected_where_numbers_count(self, tmp_path: Path) -> None:
        masks = {"bolt/scene.png": SCENE[1].mask.astype(np.uint8), "nut/empty.png": numbered()}
        assert write(tmp_path, masks).problems == ()

    def test_is_not_suspected_where_the_file_of_classes_names_the_object(self, tmp_path: Path) -> None:
        masks = {"scene.png": SCENE[1].mask.astype(np.uint8), "empty.png": block(0, 0, 1, 1).astype(np.uint8)}
        coco = write(tmp_path, masks, {"scene": {"1": "bolt"}, "empty": {"1": "bolt"}})
        assert (scene_iou(coco, PICTURES)["two"], coco.problems) == (1.0, ())


@pytest.mark.parametrize("classes", [[], {}, {"scene": 5}, {"scene": {"one": "nut"}}, {"*": {"1": "nut"}}])
def test_a_file_of_classes_of_another_form_is_refused(classes: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not of the expected form"):
        write(tmp_path, SEVERAL, classes)


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("picture,class\nscene,nut\n")
    with pytest.raises(DataError, match="lacks a column"):
        write(tmp_path, SEVERAL)


def test_a_layout_that_is_known_but_not_read_is_named(tmp_path: Path) -> None:
    write_scene_pictures(tmp_path / "leftImg8bit")
    (tmp_path / "scene_gtFine_instanceIds.png").write_bytes(scene_png())
    with pytest.raises(DataError, match="masks in the layout of Cityscapes are not read") as caught:
        read_labels(LabelSource(tmp_path))
    assert "number objects anew in masks/NAME.png" in caught.value.hint


def test_a_folder_with_labels_of_another_kind_is_left_to_them(tmp_path: Path) -> None:
    write(tmp_path, SEVERAL, {"scene": SCENE_CLASSES})
    (tmp_path / "labels.json").write_text("{}")
    assert not [reader.key for reader in READERS if reader.recognises(LabelSource(tmp_path))]
