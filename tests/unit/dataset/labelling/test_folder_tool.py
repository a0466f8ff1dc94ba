"""What people may put into the folder of a request."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.labelling.folder_tool import FolderTool
from dataset.labelling.port import DrawnInstance, LabelTask
from maskloop.digest import digest_bytes
from maskloop.errors import DataError
from maskloop.masks import encode_masks
from tests.fakes.bent_batches import as_contours, write_masks
from tests.fakes.label_scene import CLASSES, HEIGHT_PX, SCENE, WIDTH_PX, scene_png
from tests.fakes.label_studio_files import annotation, brushed, task


@pytest.fixture
def tool(tmp_path: Path) -> FolderTool:
    tool = FolderTool(tmp_path)
    tool.open_project(CLASSES)
    return tool


def add(tool: FolderTool, seed: int = 0) -> str:
    """Add a picture of the scene; returns the name of its file without the ending."""
    picture = scene_png(seed)
    instances = tuple(
        DrawnInstance(one.class_name, encode_masks(one.mask[None])[0], one.is_crowd) for one in SCENE
    )
    size = (HEIGHT_PX, WIDTH_PX)
    digest = digest_bytes(picture)
    task = LabelTask("s", digest, picture, ".png", size, "belt", "r1", "drift", "dark", "7", instances)
    assert list(tool.add_tasks([task])) == [task]
    return digest[:16]


def test_a_request_s_folder_explains_itself(tool: FolderTool, tmp_path: Path) -> None:
    name = add(tool)
    folder = tmp_path / "r1"
    assert (folder / "images" / f"{name}.png").read_bytes() == scene_png()
    assert "labels/" in (folder / "README.txt").read_text()
    assert json.loads((folder / "tasks.json").read_text())[name]["reason"] == "dark"
    assert len(json.loads((folder / "pre-labels.json").read_text())["annotations"]) == len(SCENE)


def test_labels_come_back_in_any_format_and_in_an_archive_too(tool: FolderTool, tmp_path: Path) -> None:
    name = add(tool)
    drawn = [brushed(number, one.class_name, one.mask) for number, one in enumerate(SCENE[:2], start=1)]
    export = json.dumps([task(1, f"/data/upload/1/{name}.png", annotation(1, drawn, {"email": "c@x.org"}))])
    with zipfile.ZipFile(tmp_path / "r1" / "labels" / "export.zip", "w") as archive:
        archive.writestr("result.json", export)
    (placed,) = tool.list_tasks()
    (one,) = tool.pull([placed])
    assert (one.annotator, one.at) == ("c@x.org", "2026-01-01T10:00:00.000000Z")
    assert [each.mask for each in one.instances] == [encode_masks(each.mask[None])[0] for each in SCENE[:2]]


def test_pictures_that_labels_only_list_are_not_finished(tool: FolderTool, tmp_path: Path) -> None:
    first, _ = add(tool), add(tool, 1)
    content = json.loads((tmp_path / "r1" / "pre-labels.json").read_text())
    kept = next(one["id"] for one in content["images"] if first in one["file_name"])
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] == kept]
    (tmp_path / "r1" / "labels" / "labels.json").write_text(json.dumps(content))
    assert [one.task_id for one in tool.pull(tool.list_tasks())] == [f"r1/{first}"]


def test_labels_that_cannot_be_read_are_told_when_they_are_pulled(tool: FolderTool, tmp_path: Path) -> None:
    add(tool)
    (tmp_path / "r1" / "labels" / "labels.json").write_text('{"images": [')
    tasks = tool.list_tasks()
    with pytest.raises(DataError):
        list(tool.pull(tasks))


def test_listing_tasks_reads_no_labels(tool: FolderTool, tmp_path: Path) -> None:
    add(tool)
    (placed,) = tool.list_tasks()
    file = tmp_path / "r1" / "labels" / "labels.json"
    file.write_text('{"images": [')
    (broken,) = tool.list_tasks()
    assert (placed.num_finished, broken.num_finished) == (None, None)
    assert broken.version != placed.version
    file.unlink()
    assert tool.list_tasks() == (placed,)


def test_a_task_that_was_written_half_is_completed(tool: FolderTool, tmp_path: Path) -> None:
    name = add(tool)
    (tmp_path / "r1" / "tasks.json").unlink()
    assert tool.list_tasks() == ()
    add(tool)
    content = json.loads((tmp_path / "r1" / "pre-labels.json").read_text())
    assert [one["file_name"] for one in content["images"]] == [f"{name}.png"]
    assert len(content["annotations"]) == len(SCENE)


def test_a_picture_that_was_changed_is_not_handed_out(tool: FolderTool, tmp_path: Path) -> None:
    name = add(tool)
    (placed,) = tool.list_tasks()
    assert tool.fetch_picture(placed) == scene_png()
    (tmp_path / "r1" / "images" / f"{name}.png").write_bytes(scene_png(1))
    assert tool.fetch_picture(placed) is None
    shutil.rmtree(tmp_path / "r1" / "images")
    assert tool.fetch_picture(replace(placed, picture_digest="0")) is None


def own_labels(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "pre-labels.json").read_text())
    return content


def test_pictures_that_were_not_asked_for_are_told(tool: FolderTool, tmp_path: Path) -> None:
    add(tool)
    content = own_labels(tmp_path / "r1")
    content["images"][0]["file_name"] = "holiday.jpg"
    (tmp_path / "r1" / "labels" / "labels.json").write_text(json.dumps(content))
    (tmp_path / "r1" / "without-objects.txt").write_text("beach.jpg\n")
    tasks = tool.list_tasks()
    assert list(tool.pull(tasks)) == []
    assert [told.partition(";")[0] for told in tool.tell_warnings(tasks)] == [
        "labels in labels/labels.json left out: the request did not ask for 1 picture (holiday.jpg)",
        "names in without-objects.txt left out: the request did not ask for 1 picture (beach)",
    ]


def test_pictures_that_were_not_asked_for_and_show_nothing_are_not_told(
    tool: FolderTool, tmp_path: Path
) -> None:
    add(tool)
    content = own_labels(tmp_path / "r1")
    content["images"].append({"id": 99, "file_name": "holiday.jpg", "height": 8, "width": 8})
    (tmp_path / "r1" / "labels" / "labels.json").write_text(json.dumps(content))
    assert tool.tell_warnings(tool.list_tasks()) == ()


def test_annotations_of_no_listed_picture_are_told_and_the_others_taken(
    tool: FolderTool, tmp_path: Path
) -> None:
    add(tool)
    content = own_labels(tmp_path / "r1")
    content["annotations"][0]["image_id"] = 999
    (tmp_path / "r1" / "labels" / "labels.json").write_text(json.dumps(content))
    (one,) = tool.pull(tool.list_tasks())
    assert (len(one.instances), one.trouble) == (len(SCENE) - 1, "")
    (told,) = tool.tell_warnings(tool.list_tasks())
    assert told.startswith("1 annotation in labels/labels.json left out: ")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"category_id": 77}, "category id 77 is not in the list of categories"),
        ({"category_id": None}, "category id None is not in the list"),
        ({"segmentation": None}, "the annotation has no mask"),
        ({"iscrowd": "perhaps"}, "iscrowd is 'perhaps'"),
    ],
)
def test_an_annotation_that_cannot_be_read_costs_its_picture(
    tool: FolderTool, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    add(tool)
    content = own_labels(tmp_path / "r1")
    content["annotations"][1] |= changes
    (tmp_path / "r1" / "labels" / "labels.json").write_text(json.dumps(content))
    (one,) = tool.pull(tool.list_tasks())
    assert told in one.trouble
    assert one.trouble.startswith("/annotations/1: ")


def test_a_picture_that_is_listed_twice_is_trouble_and_its_objects_are_not_mixed(
    tool: FolderTool, tmp_path: Path
) -> None:
    """Label Studio's COCO lists a picture once for each annotator."""
    add(tool)
    content = own_labels(tmp_path / "r1")
    content["images"].append({**content["images"][0], "id": 2})
    content["annotations"] += [
        {**one, "id": one["id"] + 100, "image_id": 2} for one in content["annotations"]
    ]
    (tmp_path / "r1" / "labels" / "labels.json").write_text(json.dumps(content))
    (one,) = tool.pull(tool.list_tasks())
    assert "the picture is listed 2 times" in one.trouble


def test_masks_that_an_export_bent_are_told_with_their_cure(tool: FolderTool, tmp_path: Path) -> None:
    """Outlines of `cv2.findContours` end a row and a column too early."""
    names = [add(tool, seed) for seed in range(6)]
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), bool)
    mask[4:16, 6:26] = True
    traced = write_masks([mask] * len(names), as_contours, is_told=True)
    images = [one | {"file_name": f"{name}.png"} for one, name in zip(traced.images, names, strict=True)]
    content = {"images": images, "annotations": traced.annotations, "categories": traced.categories}
    (tmp_path / "r1" / "labels" / "labels.json").write_text(json.dumps(content))
    (told,) = tool.tell_warnings(tool.list_tasks())
    assert told.startswith("masks in labels/labels.json are taken as they are")
    assert "6 of 6 masks lack the last pixel at right and below" in told
    assert "let --mend fill them" in told


def test_whole_masks_are_not_told(tool: FolderTool, tmp_path: Path) -> None:
    add(tool)
    (tmp_path / "r1" / "labels" / "labels.json").write_text(json.dumps(own_labels(tmp_path / "r1")))
    assert tool.tell_warnings(tool.list_tasks()) == ()
