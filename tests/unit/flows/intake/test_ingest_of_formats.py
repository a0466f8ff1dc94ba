"""Labels of other formats through the whole ingest; bad ones are refused in words, and nothing is stored."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset.ingestion.plan import IngestOptions
from dataset.ingestion.refusal import BatchRefusedError
from dataset.pictures.decoding import encode_png
from flows.intake.batch_intake import ingest
from maskloop.errors import DataError
from tests.fakes.coco_batches import noise_pixels
from tests.fakes.label_studio_files import annotation, region, task
from tests.fakes.labelme_files import page, shape
from tests.fakes.loop_world import World

SIZE_WH = (40, 30)
PERCENTS = [[10.0, 20.0], [50.0, 20.0], [50.0, 60.0], [10.0, 60.0]]
"""In per cent of 40 x 30 px: columns 4 to 19, rows 6 to 17, as `OUTLINE` is in px."""
OUTLINE = [(4, 6), (20, 6), (20, 18), (4, 18)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "workspace")


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """A folder with four pictures."""
    folder = tmp_path / "batch"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(encode_png(noise_pixels(number)))
    return folder


def export_of(classes: tuple[str, ...], size_wh: tuple[int, int] = SIZE_WH) -> list[dict[str, Any]]:
    """Return Label Studio's tasks, one picture for each class, with one object of it."""
    return [
        task(
            number,
            f"/data/upload/1/0a1b2c3d-{number}.png",
            annotation(number + 1, [region(1, "polygon", name, size_wh, points=PERCENTS)]),
        )
        for number, name in enumerate(classes)
    ]


def write_label_studio(folder: Path, *classes: str) -> Path:
    (folder / "export.json").write_text(json.dumps(export_of(classes)))
    return folder


def write_labelme(folder: Path, *classes: str) -> Path:
    for number, name in enumerate(classes):
        content = page(f"{number}.png", shape(name, OUTLINE), imageWidth=40, imageHeight=30)
        (folder / f"{number}.json").write_text(json.dumps(content))
    return folder


FOUR = ("nut", "bolt", "nut", "bolt")


@pytest.mark.parametrize("write", [write_label_studio, write_labelme])
def test_labels_of_a_tool_become_a_version_once(
    write: Callable[..., Path], world: World, batch: Path
) -> None:
    write(batch, *FOUR)
    first = ingest(world.app(), batch)
    assert first.version is not None
    assert (first.num_added, first.version.class_names) == (4, ("bolt", "nut"))
    assert first.page is not None
    told = json.loads(first.page.with_suffix(".json").read_text())
    assert told["read as"] in ("Label Studio JSON", "labelme JSON")
    assert told["read as"] in first.page.read_text()
    assert (told["balance"]["num_annotations"], told["problems"]) == (4, [])
    again = ingest(world.app(), batch)
    assert (again.changed, again.page) == (False, first.page)


def test_the_same_labels_by_two_tools_are_the_same_version(world: World, batch: Path) -> None:
    first = ingest(world.app(), write_label_studio(batch, *FOUR))
    (batch / "export.json").unlink()
    assert not ingest(world.app(), write_labelme(batch, *FOUR)).changed
    assert first.version is not None


def test_a_later_batch_without_one_of_the_classes_is_taken(world: World, batch: Path) -> None:
    ingest(world.app(), write_labelme(batch, "nut", "bolt"))
    write_labelme(batch, *["nut"] * 4)
    for number in (0, 1):
        (batch / f"{number}.json").unlink()
    result = ingest(world.app(), batch)
    assert result.version is not None
    assert result.version.class_names == ("bolt", "nut")


def test_two_formats_in_one_folder_are_asked_about_and_then_read_as_said(world: World, batch: Path) -> None:
    write_label_studio(write_labelme(batch, "nut", "bolt"), *FOUR)
    with pytest.raises(DataError, match="Label Studio JSON and as labelme JSON") as caught:
        ingest(world.app(), batch)
    assert "--format label-studio or --format labelme" in caught.value.hint
    assert ingest(world.app(), batch, options=IngestOptions("", format="labelme")).num_added == 2


def cut_off(batch: Path) -> Path:
    file = write_label_studio(batch, *FOUR) / "export.json"
    file.write_text(file.read_text()[:400])
    return file


def half_an_archive(batch: Path) -> Path:
    write_label_studio(batch, *FOUR)
    file = batch.with_suffix(".zip")
    with zipfile.ZipFile(file, "w") as archive:
        for each in batch.iterdir():
            archive.write(each, each.name)
    file.write_bytes(file.read_bytes()[:3000])
    return file


def leading_out(batch: Path) -> Path:
    file = batch.with_suffix(".zip")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../victim.json", "{}")
    return file


def of_another_size(batch: Path) -> Path:
    (batch / "export.json").write_text(json.dumps(export_of(FOUR, (80, 60))))
    return batch


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cut off": (cut_off, "the annotation file is not JSON"),
    "half an archive": (half_an_archive, "the ZIP archive is broken"),
    "an archive that leads out": (leading_out, "leads out of its folder"),
    "an empty folder": (lambda batch: batch, "the folder holds no labels in a format that is read"),
    "an empty file": (lambda batch: _empty(batch / "a.json"), "the annotation file is empty"),
    "pictures of another size": (of_another_size, "none of the 4 pictures can be used"),
}


def _empty(file: Path) -> Path:
    file.write_text("")
    return file


@pytest.mark.parametrize("what", BAD)
def test_bad_labels_are_refused_in_words_and_leave_nothing(what: str, world: World, batch: Path) -> None:
    write, message = BAD[what]
    path = write(batch)
    files = sorted(batch.parent.rglob("victim.json"))
    with pytest.raises(DataError, match=message) as caught:
        ingest(world.app(), path)
    assert caught.value.hint
    assert str(path.name) in str(caught.value)
    assert world.app().data.current() is None
    assert sorted(batch.parent.rglob("victim.json")) == files == []


def test_a_class_that_the_data_lack_is_asked_about(world: World, batch: Path) -> None:
    ingest(world.app(), write_labelme(batch, "nut", "bolt"))
    with pytest.raises(BatchRefusedError, match="class 'gear' is not in the label schema"):
        ingest(world.app(), write_labelme(batch, "nut", "gear"))


def test_one_bad_picture_of_many_is_left_out_and_told(world: World, batch: Path, tmp_path: Path) -> None:
    for number in range(4, 40):
        (batch / f"{number}.png").write_bytes(encode_png(noise_pixels(number)))
    write_labelme(batch, *["nut"] * 40)
    (batch / "7.json").write_text((batch / "7.json").read_text()[:80])
    result = ingest(world.app(), batch)
    assert (result.num_added, result.report.quarantined) == (39, ("7.png",))
    assert "40 pictures: 39 kept, 1 left out" in result.balance.sentence()
