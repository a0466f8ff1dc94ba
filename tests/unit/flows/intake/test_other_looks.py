"""Label mismatch (F7): a class whose objects are others in a batch is told before training, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.health.batch_looks import CODE
from dataset.ingestion.plan import IngestOptions
from dataset.ingestion.refusal import BatchRefusedError
from dataset.pictures.decoding import encode_png
from flows.intake.batch_intake import ingest
from tests.fakes.coco_batches import rectangle
from tests.fakes.loop_world import World

SIDE_PX = 48
NAMES = ("bolt", "nut")
PLACES = ((4, 4), (26, 26))
BRIGHTNESS = (40, 220)


def write(folder: Path, numbers: range, *, order: tuple[int, int] = (0, 1), camera: float = 1.0) -> Path:
    """Write pictures of a dark and a bright square, in this order named bolt and nut."""
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in numbers:
        rng = np.random.default_rng(number)
        pixels = rng.integers(90, 150, (SIDE_PX, SIDE_PX, 3)).astype(np.float64)
        for place, (top, left) in enumerate(PLACES):
            pixels[top : top + 16, left : left + 16] = BRIGHTNESS[place] + rng.integers(-8, 9)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": order[place] + 1,
                    "segmentation": rectangle(left, top, 16, 16),
                }
            )
        name = f"{number}.png"
        (folder / "images" / name).write_bytes(encode_png((pixels * camera).astype(np.uint8)))
        images.append({"id": number + 1, "file_name": name, "width": SIDE_PX, "height": SIDE_PX})
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(NAMES)]
    file = folder / f"{folder.name}.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def open_world(tmp_path: Path, policy: str = "") -> World:
    settings = f"[data]\nnear_duplicate_distance_bits = -1\n{policy}"
    world = World(tmp_path / "workspace", settings=settings)
    ingest(world.app(), write(tmp_path / "first", range(20)), options=IngestOptions("line 1"))
    return world


def take(world: World, annotations: Path) -> Any:
    return ingest(world.app(), annotations, options=IngestOptions("line 2"))


def test_exchanged_names_are_told_with_objects_old_beside_new(tmp_path: Path) -> None:
    world = open_world(tmp_path)
    result = take(world, write(tmp_path / "second", range(100, 120), order=(1, 0)))
    assert result.changed
    told = [one for one in result.report.problems if one.code == CODE]
    assert (told[0].severity, told[0].count) == ("warning", 2)
    page = result.page.read_text()
    assert "bolt looks otherwise: in the data, and in this batch" in page
    assert page.count("data:image/jpeg;base64,") >= 2 * 2 * 3


def test_the_policy_refuses_such_a_batch_and_nothing_is_stored(tmp_path: Path) -> None:
    world = open_world(tmp_path, 'check_policy = { look = "block" }')
    with pytest.raises(BatchRefusedError, match="looks otherwise in this batch") as refused:
        take(world, write(tmp_path / "second", range(100, 120), order=(1, 0)))
    assert world.data.versions() == ("data-v1",)
    assert 'data.check_policy.look = "warn"' in str(refused.value)
    assert refused.value.page is not None
    assert "looks otherwise: in the data, and in this batch" in refused.value.page.read_text()


def test_the_policy_can_leave_looks_alone(tmp_path: Path) -> None:
    world = open_world(tmp_path, 'check_policy = { look = "ignore" }')
    result = take(world, write(tmp_path / "second", range(100, 120), order=(1, 0)))
    assert [one for one in result.report.problems if one.code == CODE] == []


@pytest.mark.parametrize("camera", [1.0, 0.4])
def test_the_same_objects_are_not_told_under_another_light_either(tmp_path: Path, camera: float) -> None:
    result = take(open_world(tmp_path), write(tmp_path / "second", range(100, 120), camera=camera))
    assert [one for one in result.report.problems if one.code == CODE] == []
