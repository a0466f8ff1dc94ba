"""`maskloop data export`: what is lost is told before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset.exports.table import FORMATS
from dataset.versions.catalog import Catalog
from flows.command.main import main
from flows.exporting.data_export import export_data
from flows.usage.data import EXPORT_FORMATS
from flows.workspace.telling import SilentTeller
from maskloop.errors import DataError, NotFoundError
from tests.fakes.dataset_store import FakeDatasetStore
from tests.fakes.exported import drawn_version
from tests.fakes.label_scene import CLASSES
from tests.fakes.loop_world import World
from tests.fakes.opened import opens


@pytest.fixture
def scene(world: World) -> World:
    """The current version, data-v2, is the scene with a crowd region."""
    with world.data.staging() as folder:
        version = drawn_version(folder)
        hashes = {picture.digest: number for number, picture in enumerate(version.pictures)}
        world.data.commit(folder, Catalog(CLASSES, version.pictures, hashes), "the scene")
    return world


@pytest.fixture
def export(scene: World, tmp_path: Path) -> Callable[..., int]:
    """Run the command into ``tmp_path/out``; return its exit code."""

    def run(*options: str) -> int:
        try:
            main(["data", "export", "--out", str(tmp_path / "out"), *options], opener=opens(scene))
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return run


def test_the_formats_of_the_help_are_those_of_the_table() -> None:
    assert sorted(EXPORT_FORMATS) == sorted(FORMATS)


def test_the_current_version_is_exported(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--format", "coco") == 0
    said = capsys.readouterr().out
    assert said.endswith(
        "3 pictures with 7 objects of data-v2 as COCO; every mask is as it was, to the pixel\n"
    )
    assert (tmp_path / "out" / "annotations" / "instances_train.json").is_file()


def test_an_older_version_is_exported_by_its_tag(export: Callable[..., int], tmp_path: Path) -> None:
    assert export("--format", "labelme", "--version", "data-v1", "--split", "val") == 0
    assert (
        sorted(path.suffix for path in (tmp_path / "out" / "val").iterdir()) == [".json"] * 2 + [".png"] * 2
    )


def test_losses_end_the_command_before_anything_is_written(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--format", "yolo") == 77
    said = capsys.readouterr().err
    assert "YOLO segmentation does not hold all of data-v2: 1 crowd region left out" in said
    assert "--accept-loss" in said
    assert not (tmp_path / "out").exists()


def test_accepted_losses_are_in_the_answer(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--format", "yolo", "--accept-loss", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["tag"], answer["pictures"], answer["instances"]) == ("data-v2", 3, 7)
    assert [(row["objects"], row["left out"]) for row in answer["losses"]] == [("crowd regions", 1)]
    assert (tmp_path / "out" / "data.yaml").is_file()


def test_a_refusal_in_json_names_the_losses(
    export: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--format", "label-studio", "--json") == 77
    answer = json.loads(capsys.readouterr().out)
    assert answer["outcome"] == "refused"
    assert "1 crowd region left out" in answer["said"]


def test_without_data_there_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is nothing to export yet"):
        export_data(FakeDatasetStore(tmp_path), SilentTeller(), tmp_path / "out", key="coco")


def test_a_version_that_is_none_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="data-v9"):
        export_data(world.app().data, SilentTeller(), tmp_path / "out", key="coco", tag="data-v9")
