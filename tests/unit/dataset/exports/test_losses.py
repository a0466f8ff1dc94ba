"""Losses are measured on what the reader makes of an export, instance by instance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset.exports.coco import COCO
from dataset.exports.losses import Loss, describe, find_losses, kind_of, summarise
from dataset.exports.port import ExportedVersion, LabelWriter, name_pictures, write_json
from dataset.labelled_pictures import DatasetVersion, LabelledInstance
from maskloop.masks import encode_masks
from tests.fakes.exported import scene_instances
from tests.fakes.label_scene import SCENE, block


def exported(version: DatasetVersion) -> ExportedVersion:
    return ExportedVersion(version.tag, version.class_names, name_pictures(version.pictures))


def bending(**changes: object) -> LabelWriter:
    """A writer of COCO that writes every annotation with changes, or without a key if the change is None."""

    def write(version: ExportedVersion, folder: Path) -> tuple[str, ...]:
        sources = COCO.write(version, folder)
        for source in sources:
            content = json.loads((folder / source).read_text())
            for record in content["annotations"]:
                for key, value in changes.items():
                    record[key] = value(record) if callable(value) else value
            write_json(folder / source, content)
        return sources

    return replace(COCO, write=write)


def losses_of(writer: LabelWriter, version: DatasetVersion, folder: Path) -> dict[str, float]:
    told = exported(version)
    losses = find_losses(writer, told, folder, writer.write(told, folder))
    return {loss.kind: round(loss.iou, 3) for loss in losses if loss.picture == "scene.png"}


def test_what_comes_back_to_the_pixel_is_no_loss(version: DatasetVersion, tmp_path: Path) -> None:
    assert losses_of(COCO, version, tmp_path) == {}


def test_a_filled_hole_is_measured_as_the_iou_of_the_whole_square(
    version: DatasetVersion, tmp_path: Path
) -> None:
    def box(record: dict[str, list[int]]) -> list[list[int]]:
        x, y, width, height = record["bbox"]
        return [[x, y, x + width, y, x + width, y + height, x, y + height]]

    found = losses_of(bending(segmentation=box), version, tmp_path)
    assert found == {"hole": 0.938, "parts": round(200 / 300, 3)}


def test_a_lost_crowd_flag_counts_as_a_lost_crowd(version: DatasetVersion, tmp_path: Path) -> None:
    assert losses_of(bending(iscrowd=0), version, tmp_path) == {"crowd": 0.0}


def test_another_class_counts_as_lost(version: DatasetVersion, tmp_path: Path) -> None:
    found = losses_of(bending(category_id=2), version, tmp_path)
    assert found == {"hole": 0.0, "pixel": 0.0, "crowd": 0.0, "plain": 0.0}


def test_a_mask_that_cannot_be_read_is_lost(version: DatasetVersion, tmp_path: Path) -> None:
    found = losses_of(bending(segmentation=[]), version, tmp_path)
    assert found == dict.fromkeys(("hole", "parts", "pixel", "crowd", "plain"), 0.0)


def test_a_picture_without_objects_that_is_not_listed_is_lost(
    version: DatasetVersion, tmp_path: Path
) -> None:
    labelled = replace(version, pictures=tuple(each for each in version.pictures if each.instances))
    sources = COCO.write(exported(labelled), tmp_path)
    assert find_losses(COCO, exported(version), tmp_path, sources) == [Loss("picture", "empty.png", 0.0)]


def test_two_equal_objects_of_which_one_comes_back_lose_one(version: DatasetVersion, tmp_path: Path) -> None:
    edge = scene_instances()[-1]
    (scene,) = (each for each in version.pictures if each.name == "scene.png")
    twice = replace(version, pictures=(replace(scene, instances=(edge, edge)),))
    once = replace(version, pictures=(replace(scene, instances=(edge,)),))
    sources = COCO.write(exported(once), tmp_path)
    losses = find_losses(COCO, exported(twice), tmp_path, sources)
    assert [(loss.kind, loss.iou) for loss in losses] == [("plain", 0.0)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ring", "hole"), ("two", "parts"), ("dot", "pixel"), ("crowd", "crowd"), ("edge", "plain")],
)
def test_the_kind_of_an_object_is_what_makes_it_hard_to_hold(name: str, kind: str) -> None:
    number = [one.name for one in SCENE].index(name)
    assert kind_of(scene_instances()[number]) == kind


def test_pixels_that_touch_at_a_corner_are_one_part() -> None:
    mask = block(10, 10, 5, 5) | block(15, 15, 5, 5)
    assert kind_of(LabelledInstance(0, encode_masks(np.asarray([mask]))[0])) == "plain"


def test_rows_count_what_is_left_out_and_what_is_changed(version: DatasetVersion) -> None:
    losses = [Loss("hole", "a.png", 0.5), Loss("hole", "b.png", 0.0), Loss("crowd", "b.png", 0.0)]
    crowds, holes = summarise(losses, exported(version))
    assert crowds == {
        "objects": "crowd regions",
        "number": 1,
        "left out": 1,
        "changed": 0,
        "lowest IoU": 0.0,
        "example": "b.png",
    }
    assert (holes["number"], holes["left out"], holes["changed"]) == (2, 1, 1)
    assert (
        describe(losses)
        == "1 crowd region left out, 1 object with holes left out, 1 object with holes changed"
    )
