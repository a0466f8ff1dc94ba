"""Every reader reads one scene: what its format can hold comes back pixel for pixel.

A writer puts the scene's labels into a folder that holds the pictures, as its tool does.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dataset.coco.document import CocoFile
from dataset.coco.listing import picture_names
from dataset.coco.validation import validate_batch
from dataset.formats.archives import open_source
from dataset.readers.table import FORMATS, read_labels
from maskloop.masks import encode_masks
from tests.fakes import (
    cvat_files,
    datumaro_files,
    labelme_xml_files,
    painted_files,
    supervisely_files,
    via_files,
    yolo_files,
)
from tests.fakes.judging import found_picture
from tests.fakes.label_scene import (
    CLASSES,
    EMPTY_PICTURE,
    EXACT,
    HEIGHT_PX,
    PICTURE,
    SCENE,
    WIDTH_PX,
    corners,
    rectangles_of,
    scene_iou,
    write_scene_pictures,
)
from tests.fakes.label_studio_files import annotation, bitmasked, brushed, minimal, outlined, task
from tests.fakes.labelme_files import mask_shape, page, shape
from tests.fakes.labelme_xml_files import FOLDER


@dataclass(frozen=True)
class Case:
    """One way to write the scene.

    Attributes:
        key: Of the reader that has to recognise it.
        write: Writes the labels into a folder with the pictures.
        expected: The IoU of each object that is not exact: what the format cannot hold.
        pictures: The folder in which the tool has the pictures.
        prefix: What precedes their names in the labels as they are read.
    """

    key: str
    write: Callable[[Path], None]
    expected: dict[str, float] | None = None
    pictures: str = ""
    prefix: str = ""


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_coco(folder: Path, **of_images: Any) -> None:
    size = {"height": HEIGHT_PX, "width": WIDTH_PX}
    images = [
        {"id": number, "file_name": name, **size, **of_images}
        for number, name in enumerate((PICTURE, EMPTY_PICTURE), start=1)
    ]
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": CLASSES.index(one.class_name) + 1,
            "segmentation": encode_masks(one.mask[None])[0].to_coco(),
            "iscrowd": int(one.is_crowd),
        }
        for number, one in enumerate(SCENE, start=1)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_json(folder / "annotations" / "instances.json", content)


def write_lvis(folder: Path) -> None:
    write_coco(folder, neg_category_ids=[], not_exhaustive_category_ids=[])


def write_label_studio(folder: Path, results: list[dict[str, Any]]) -> None:
    upload = "/data/upload/1/0a1b2c3d-"
    tasks = [
        task(1, upload + PICTURE, annotation(1, results)),
        task(2, upload + EMPTY_PICTURE, annotation(2, [])),
    ]
    write_json(folder / "project-1-at-2026-01-03-10-00-0a1b2c3d.json", tasks)


def write_brushes(folder: Path) -> None:
    results = [brushed(number, one.class_name, one.mask) for number, one in enumerate(SCENE)]
    write_label_studio(folder, results)


def write_bitmasks(folder: Path) -> None:
    results = [bitmasked(number, one.class_name, one.mask) for number, one in enumerate(SCENE)]
    write_label_studio(folder, results)


def write_minimal(folder: Path) -> None:
    results = [brushed(number, one.class_name, one.mask) for number, one in enumerate(SCENE)]
    records = [minimal(1, PICTURE, 1, results), minimal(2, EMPTY_PICTURE, 2, [])]
    write_json(folder / "project-1.json", records)


def write_outlines(folder: Path) -> None:
    whole = [one for one in SCENE if one.name in ("dot", "crowd", "edge")]
    write_label_studio(folder, [outlined(number, one) for number, one in enumerate(whole)])


def write_labelme(folder: Path, shapes: list[dict[str, Any]]) -> None:
    write_json(folder / "scene.json", page(PICTURE, *shapes))
    write_json(folder / "empty.json", page(EMPTY_PICTURE))


def write_labelme_masks(folder: Path) -> None:
    flags = [{"crowd": True} if one.is_crowd else {} for one in SCENE]
    drawn = zip(SCENE, flags, strict=True)
    write_labelme(folder, [mask_shape(one.class_name, one.mask, flags=flag) for one, flag in drawn])


def write_labelme_outlines(folder: Path) -> None:
    write_labelme(
        folder,
        [
            shape(one.class_name, corners(*block), group_id=number)
            for number, one in enumerate(SCENE)
            if one.name != "ring"
            for block in rectangles_of(one.mask)
        ],
    )


NO_CROWDS = {"crowd": 0.0}
_MONDAY = ("monday/img", "monday/img/")
_IMAGES = ("images", "images/")
CASES = {
    "COCO": Case("coco", write_coco, pictures="images"),
    "LVIS": Case("coco", write_lvis, pictures="images"),
    "CVAT, masks": Case("cvat", cvat_files.write_masks, pictures="images"),
    "CVAT, polygons": Case("cvat", cvat_files.write_polygons, NO_CROWDS | {"ring": 0.0}, "images"),
    "Datumaro, masks": Case("datumaro", datumaro_files.write_masks, pictures="images"),
    "Datumaro, polygons": Case(
        "datumaro", datumaro_files.write_polygons, NO_CROWDS | {"ring": 0.0}, "images"
    ),
    "Supervisely, bitmaps": Case("supervisely", supervisely_files.write_bitmaps, NO_CROWDS, *_MONDAY),
    "Supervisely, polygons": Case("supervisely", supervisely_files.write_polygons, NO_CROWDS, *_MONDAY),
    "VGG Image Annotator": Case("via", via_files.write_regions, NO_CROWDS | {"ring": 0.0, "two": 0.0}),
    "YOLO": Case("yolo", yolo_files.write_lines, NO_CROWDS | {"ring": 0.0}, "images/train", "images/train/"),
    "masks, a number each": Case("masks", painted_files.write_numbers, NO_CROWDS, *_IMAGES),
    "masks, a file each": Case("masks", painted_files.write_one_file_each, NO_CROWDS, *_IMAGES),
    "Label Studio, brush": Case("label-studio", write_brushes, NO_CROWDS),
    "Label Studio, polygons": Case("label-studio", write_outlines, NO_CROWDS | {"ring": 0.0, "two": 0.0}),
    "labelme, masks": Case("labelme", write_labelme_masks),
    "Label Studio, bitmask": Case("label-studio", write_bitmasks, NO_CROWDS),
    "Label Studio, JSON-MIN": Case("label-studio", write_minimal, NO_CROWDS),
    "LabelMe XML, masks": Case(
        "labelme-xml", labelme_xml_files.write_masks, None, f"Images/{FOLDER}", f"{FOLDER}/"
    ),
    "LabelMe XML, polygons": Case(
        "labelme-xml",
        labelme_xml_files.write_polygons,
        NO_CROWDS | {"ring": 0.0},
        f"Images/{FOLDER}",
        f"{FOLDER}/",
    ),
    "labelme, polygons": Case("labelme", write_labelme_outlines, NO_CROWDS | {"ring": 0.0}),
}
"""Where an object is expected with 0, the format cannot hold it: polygons have no holes, some no parts."""


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def folder(case: Case, tmp_path: Path) -> Path:
    batch = tmp_path / "batch"
    write_scene_pictures(batch / case.pictures)
    case.write(batch)
    return batch


def read(path: Path) -> CocoFile:
    with open_source(path) as source:
        return read_labels(source)


def test_the_scene_comes_back_as_far_as_the_format_holds_it(case: Case, folder: Path) -> None:
    assert scene_iou(read(folder), case.prefix + PICTURE) == EXACT | (case.expected or {})


def test_every_reader_has_a_case() -> None:
    assert {case.key for case in CASES.values()} == {*FORMATS}


def test_the_format_is_told_by_content_and_can_be_named(case: Case, folder: Path) -> None:
    assert case.key in FORMATS
    with open_source(folder) as source:
        assert read_labels(source, key=case.key) == read_labels(source)


def test_both_pictures_are_found_and_the_validation_has_nothing_against_them(
    case: Case, folder: Path
) -> None:
    coco = read(folder)
    assert coco.images_dir is not None
    assert all((coco.images_dir / name).is_file() for name in picture_names(coco))
    found = {name: found_picture(name, width=WIDTH_PX, height=HEIGHT_PX) for name in picture_names(coco)}
    report = validate_batch(coco, found)
    assert [problem for problem in report.problems if problem.severity == "error"] == []
    numbers = {picture.found.name: len(picture.instances) for picture in report.usable}
    scene, empty = case.prefix + PICTURE, case.prefix + EMPTY_PICTURE
    assert sorted(numbers) == [empty, scene]
    assert numbers[empty] == 0
    assert numbers[scene] > 0


def test_the_pictures_may_lie_in_a_folder_that_a_person_says(
    case: Case, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in (PICTURE, EMPTY_PICTURE):
        shutil.move(folder / case.pictures / name, elsewhere / name)
    with open_source(folder, images_dir=elsewhere) as source:
        coco = read_labels(source)
    assert coco.images_dir == elsewhere
    assert sorted(picture_names(coco)) == [EMPTY_PICTURE, PICTURE]
    assert scene_iou(coco) == EXACT | (case.expected or {})


def test_an_archive_of_the_folder_is_read_alike(folder: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path, "batch"))
    packed, loose = read(archive), read(folder)
    assert (packed.images, packed.annotations, packed.categories) == (
        loose.images,
        loose.annotations,
        loose.categories,
    )
