"""What people may put into the folder of a request."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from dataset.labelling.folder_tool import FolderTool
from dataset.labelling.port import DrawnInstance, LabelTask
from maskloop.digest import digest_bytes
from maskloop.errors import DataError
from maskloop.masks import encode_masks
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
