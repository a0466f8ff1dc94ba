"""YOLO's folders for segmentation: parts joined by a bridge, layouts, and what costs a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import ExifTags, Image

from dataset.coco.document import CocoFile
from dataset.formats.port import LabelSource
from dataset.readers.table import READERS, read_labels
from maskloop.errors import DataError
from tests.fakes.label_scene import (
    CLASSES,
    EMPTY_PICTURE,
    EXACT,
    HEIGHT_PX,
    PICTURE,
    WIDTH_PX,
    read_objects,
    scene_iou,
    scene_png,
    write_scene_pictures,
)
from tests.fakes.yolo_files import NAMES, SCENE_LINES

TRIANGLE = "0 0.1 0.1 0.5 0.1 0.5 0.5"


def write(folder: Path, text: str, *, names: str = NAMES) -> CocoFile:
    write_scene_pictures(folder / "images" / "train")
    labels = folder / "labels" / "train"
    labels.mkdir(parents=True, exist_ok=True)
    (labels / "scene.txt").write_text(text)
    (labels / "empty.txt").touch()
    (folder / "data.yaml").write_text(names)
    return read_labels(LabelSource(folder))


TRAIN_PICTURE = f"images/train/{PICTURE}"


def test_outlines_come_back_and_parts_joined_by_a_bridge_are_one_object_of_two(tmp_path: Path) -> None:
    coco = write(tmp_path, SCENE_LINES)
    # the format has neither holes nor crowds
    assert scene_iou(coco, TRAIN_PICTURE) == EXACT | {"ring": 0.938, "crowd": 0.0}
    assert len(coco.annotations) == 5
    assert len(coco.annotations[1]["segmentation"]) == 2
    assert (coco.read_as, coco.problems) == ("YOLO segmentation", ())
    assert [one["name"] for one in coco.categories] == [*CLASSES]


@pytest.mark.parametrize(
    "names",
    [
        "names: [nut, bolt, gear]\nnc: 3\n",
        "nc: 3\nnames:\n- nut\n- bolt\n- gear\n",
        "names: {0: nut, 1: bolt, 2: gear}\n",
    ],
)
def test_names_may_be_a_list_or_a_mapping(names: str, tmp_path: Path) -> None:
    assert scene_iou(write(tmp_path, SCENE_LINES, names=names), TRAIN_PICTURE)["edge"] == 1.0


def test_a_name_is_text_whatever_yaml_makes_of_it(tmp_path: Path) -> None:
    coco = write(tmp_path, TRIANGLE, names="names: [no, 1.0, null]\n")
    assert [one["name"] for one in coco.categories] == ["no", "1.0", "null"]


def test_folders_of_splits_may_lie_above(tmp_path: Path) -> None:
    write_scene_pictures(tmp_path / "train" / "images")
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "scene.txt").write_text(SCENE_LINES)
    (tmp_path / "data.yaml").write_text("train: ../train/images\nnc: 3\nnames: ['nut', 'bolt', 'gear']\n")
    coco = read_labels(LabelSource(tmp_path))
    assert scene_iou(coco, f"train/images/{PICTURE}")["two"] == 1.0


def test_a_list_of_classes_and_labels_beside_their_pictures_will_do(tmp_path: Path) -> None:
    write_scene_pictures(tmp_path)
    (tmp_path / "scene.txt").write_text(SCENE_LINES)
    (tmp_path / "classes.txt").write_text("nut\nbolt\ngear\n")
    (tmp_path / "train.txt").write_text("scene.png\nempty.png\n")
    coco = read_labels(LabelSource(tmp_path))
    assert scene_iou(coco)["two"] == 1.0
    assert [problem.code for problem in coco.problems] == ["label-file-missing"]


def test_naming_data_yaml_means_its_folder(tmp_path: Path) -> None:
    write(tmp_path, SCENE_LINES)
    coco = read_labels(LabelSource(tmp_path / "data.yaml"))
    assert scene_iou(coco, TRAIN_PICTURE)["two"] == 1.0


def test_outlines_belong_to_the_upright_photograph(tmp_path: Path) -> None:
    write(tmp_path, TRIANGLE)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo = Image.new("RGB", (WIDTH_PX, HEIGHT_PX))
    photo.save(tmp_path / "images" / "train" / "photo.jpg", exif=exif.tobytes())
    (tmp_path / "labels" / "train" / "photo.txt").write_text("0 0 0 1 0 1 1 0 1")
    coco = read_labels(LabelSource(tmp_path))
    entry = next(image for image in coco.images if image["file_name"].endswith("photo.jpg"))
    assert (entry["height"], entry["width"], entry["frame"]) == (WIDTH_PX, HEIGHT_PX, "upright")
    (found,) = read_objects(coco, "images/train/photo.jpg")
    assert found.mask.shape == (WIDTH_PX, HEIGHT_PX)
    assert found.mask.all()


def test_an_empty_file_means_no_objects_and_a_missing_one_is_told(tmp_path: Path) -> None:
    write(tmp_path, TRIANGLE)
    (tmp_path / "images" / "train" / "new.png").write_bytes(scene_png(2))
    coco = read_labels(LabelSource(tmp_path))
    assert len(coco.images) == 3
    (told,) = coco.problems
    assert (told.severity, told.code, told.example) == ("info", "label-file-missing", "images/train/new.png")


BAD_LINES = {
    "a box": ("1 0.5 0.5 0.2 0.2", "only a box"),
    "a class without a name": ("7 0.1 0.1 0.5 0.1 0.5 0.5", "class number 7"),
    "half a class": ("0.5 0.1 0.1 0.5 0.1 0.5 0.5", "class number 0.5"),
    "half a corner": ("0 0.1 0.1 0.5 0.1 0.5", "5 coordinates"),
    "an outline in px": ("0 10 10 50 10 50 50", "leaves its picture"),
    "nan": ("0 nan 0.1 0.5 0.1 0.5 0.5", "leaves its picture"),
    "letters": ("nut 0.1 0.1 0.5 0.1 0.5 0.5", "not a number"),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_line_costs_its_picture_alone(what: str, tmp_path: Path) -> None:
    bad, message = BAD_LINES[what]
    write(tmp_path, SCENE_LINES)
    (tmp_path / "labels" / "train" / "empty.txt").write_text(f"{TRIANGLE}\n{bad}\n")
    coco = read_labels(LabelSource(tmp_path))
    (problem,) = coco.problems
    assert (problem.severity, problem.picture) == ("error", f"images/train/{EMPTY_PICTURE}")
    assert message in problem.message
    assert problem.where == "labels/train/empty.txt: object 2"
    assert scene_iou(coco, TRAIN_PICTURE)["edge"] == 1.0


def test_a_broken_picture_and_labels_without_one_cost_themselves(tmp_path: Path) -> None:
    write(tmp_path, TRIANGLE)
    for name in ("broken", "gone"):
        (tmp_path / "labels" / "train" / f"{name}.txt").write_text(TRIANGLE)
    (tmp_path / "images" / "train" / "broken.png").write_bytes(b"\x89PNG")
    coco = read_labels(LabelSource(tmp_path))
    assert {(one.code, one.picture) for one in coco.problems} == {
        ("picture-broken", "images/train/broken.png"),
        ("picture-missing", "labels/train/gone.txt"),
    }
    assert len(coco.annotations) == 1
    assert "labels/train/gone.txt" in [image["file_name"] for image in coco.images]


def test_pictures_elsewhere_are_matched_by_path_and_else_by_a_name_that_only_one_has(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_scene_pictures(tmp_path / "elsewhere" / split)
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / "scene.txt").write_text(TRIANGLE)
    (tmp_path / "labels" / "val" / "other.txt").write_text(TRIANGLE)
    (tmp_path / "elsewhere" / "other.png").write_bytes(scene_png())
    (tmp_path / "data.yaml").write_text(NAMES)
    coco = read_labels(LabelSource(tmp_path, images_dir=tmp_path / "elsewhere"))
    names = {image["id"]: image["file_name"] for image in coco.images}
    labelled = sorted(names[annotation["image_id"]] for annotation in coco.annotations)
    assert labelled == ["other.png", "train/scene.png", "val/scene.png"]


def test_without_names_or_pictures_the_expected_layout_is_told(tmp_path: Path) -> None:
    write(tmp_path, TRIANGLE)
    (tmp_path / "data.yaml").write_text("train: images/train\n")
    with pytest.raises(DataError, match="lack the names") as caught:
        read_labels(LabelSource(tmp_path))
    assert "data.yaml" in caught.value.hint
    (tmp_path / "data.yaml").write_text(NAMES)
    for picture in (tmp_path / "images" / "train").iterdir():
        picture.unlink()
    with pytest.raises(DataError, match="pictures are not there"):
        read_labels(LabelSource(tmp_path))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "names: {0: &a [*a]}", "names: !!python/name:os.system", "\0", "names"]
)
def test_a_yaml_file_made_to_harm_names_nothing(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lack the names"):
        write(tmp_path, TRIANGLE, names=text)


def test_other_folders_of_text_are_not_taken_for_yolo(tmp_path: Path) -> None:
    write_scene_pictures(tmp_path / "images")
    (tmp_path / "notes.txt").write_text("3 4 5 6 7 8\n")
    (tmp_path / "settings.yaml").write_text("names: [a, b]\n")
    assert not [reader.key for reader in READERS if reader.recognises(LabelSource(tmp_path))]
