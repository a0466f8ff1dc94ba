"""An archive of labels and pictures is taken in like its folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dataset.ingestion.plan import IngestOptions
from dataset.ingestion.refusal import BatchRefusedError
from flows.intake.batch_intake import ingest
from tests.fakes.coco_batches import coco_content, rectangle, write_batch
from tests.fakes.loop_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "workspace")


def test_an_archive_is_taken_once_and_its_folder_brings_nothing_new(world: World, tmp_path: Path) -> None:
    content = coco_content(range(6))
    content["annotations"][4] |= {
        "segmentation": rectangle(x=34, y=3, width=10, height=8),
        "bbox": [34, 3, 6, 8],
    }
    write_batch(tmp_path / "batch", range(6), content)
    archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path / "batch"))
    first = ingest(world.app(), archive)
    assert (first.changed, first.num_added, first.annotations) == (True, 6, archive)
    assert first.version is not None
    assert {picture.source for picture in first.version.pictures} == {"export"}
    assert first.page is not None
    assert first.page.read_text().count("data:image/jpeg;base64,") == 1  # drawn before the folder went
    assert not first.images_dir.exists()
    told = json.loads(first.page.with_suffix(".json").read_text())
    assert (told["annotations"], told["images"]) == (str(archive), str(archive / "images"))
    again = ingest(world.app(), archive)
    assert (again.changed, again.page) == (False, first.page)
    assert not ingest(world.app(), tmp_path / "batch", options=IngestOptions("export")).changed


def test_a_refused_archive_has_a_report_that_names_it(world: World, tmp_path: Path) -> None:
    content = coco_content(range(3))
    content["annotations"] = []
    write_batch(tmp_path / "batch", range(3), content)
    archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path / "batch"))
    with pytest.raises(BatchRefusedError, match="no annotations") as caught:
        ingest(world.app(), archive)
    assert caught.value.page is not None
    data = json.loads(caught.value.page.with_suffix(".json").read_text())
    assert (data["annotations"], data["read as"]) == (str(archive), "COCO")
