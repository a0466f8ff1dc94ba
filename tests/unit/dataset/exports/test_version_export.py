"""An export is whole or not there, loses nothing unsaid, and is read back as what was exported."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset.coco.document import CocoFile
from dataset.coco.listing import picture_names
from dataset.coco.validation import validate_batch
from dataset.exports.table import FORMATS, WRITERS, find_writer
from dataset.exports.version_export import ExportReport, export_version
from dataset.formats.archives import open_source
from dataset.ingestion.ingest import find_pictures
from dataset.labelled_pictures import DatasetVersion, LabelledInstance
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.readers.table import FORMATS as READ_FORMATS
from dataset.readers.table import read_labels
from maskloop.errors import NotFoundError, RefusedError, StorageError
from maskloop.masks import encode_masks
from tests.fakes.exported import drawn_version, scene_instances, stored, version_of
from tests.fakes.label_scene import CLASSES, EXACT, SCENE, block, scene_iou, scene_png

WITHOUT_CROWDS = ("label-studio", "yolo")


def exported(version: DatasetVersion, key: str, target: Path, **options: Any) -> ExportReport:
    return export_version(version, find_writer(key), target, accepts_losses=True, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def label_sources(key: str, target: Path) -> list[Path]:
    """What a person would name to `maskloop ingest`, one data file at a time where there are several."""
    by_format = {"coco": "annotations/*.json", "fiftyone": "*/labels.json"}
    return sorted(target.glob(by_format[key])) if key in by_format else [target]


def batches(key: str, target: Path) -> Iterator[CocoFile]:
    for path in label_sources(key, target):
        with open_source(path) as source:
            yield read_labels(source)


def validated(key: str, target: Path) -> dict[str, tuple[LabelledInstance, ...]]:
    """Return what an ingest would store, by the picture's own name."""
    kept = {}
    for coco in batches(key, target):
        assert coco.images_dir
        with SandboxedDecoder(DecodingLimits(max_mpx=1.0)) as decoder:
            found = find_pictures(coco, coco.images_dir, decoder)
        report = validate_batch(coco, found)
        assert [problem for problem in report.all_problems if problem.severity == "error"] == []
        for picture in report.usable:
            assert set(report.class_names) <= set(CLASSES)
            kept[Path(picture.found.name).name] = tuple(
                LabelledInstance(CLASSES.index(report.class_names[one.class_index]), one.mask, one.is_crowd)
                for one in picture.instances
            )
    return kept


@pytest.mark.parametrize("key", FORMATS)
def test_an_ingest_of_an_export_has_every_mask_to_the_pixel(
    key: str, version: DatasetVersion, tmp_path: Path
) -> None:
    exported(version, key, tmp_path / "out")
    kept = validated(key, tmp_path / "out")
    assert sorted(kept) == ["empty.png", "photo.jpg", "scene.png"]
    for picture in version.pictures:
        expected = {one for one in picture.instances if not (one.is_crowd and key in WITHOUT_CROWDS)}
        assert set(kept[picture.name]) == expected


@pytest.mark.parametrize("key", FORMATS)
def test_the_iou_of_every_object_is_1_but_for_crowds_where_the_format_has_none(
    key: str, version: DatasetVersion, tmp_path: Path
) -> None:
    exported(version, key, tmp_path / "out")
    coco, name = next(
        (coco, name)
        for coco in batches(key, tmp_path / "out")
        for name in picture_names(coco)
        if name.endswith("scene.png")
    )
    assert scene_iou(coco, name) == EXACT | ({"crowd": 0.0} if key in WITHOUT_CROWDS else {})


@pytest.mark.parametrize("key", FORMATS)
def test_the_format_of_an_export_is_told_by_its_content(
    key: str, version: DatasetVersion, tmp_path: Path
) -> None:
    exported(version, key, tmp_path / "out")
    expected = find_writer(key).reader
    for path in label_sources(key, tmp_path / "out"):
        with open_source(path) as source, open_source(path) as again:
            assert read_labels(source) == read_labels(again, key=expected)


@pytest.mark.parametrize("key", FORMATS)
def test_pictures_are_copied_byte_for_byte_and_turned_ones_fit_their_labels(
    key: str, version: DatasetVersion, tmp_path: Path
) -> None:
    exported(version, key, tmp_path / "out")
    copies = {Path(name).name: data for name, data in contents(tmp_path / "out").items()}
    for picture in version.pictures:
        assert copies[picture.name] == version.path(picture).read_bytes()
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("key", WITHOUT_CROWDS)
def test_what_is_lost_is_told_with_numbers_and_nothing_is_written_without_consent(
    key: str, version: DatasetVersion, tmp_path: Path
) -> None:
    told: list[dict[str, Any]] = []
    with pytest.raises(RefusedError, match="does not hold all of data-v3: 1 crowd region left out"):
        export_version(version, find_writer(key), tmp_path / "out", tell_losses=told.extend)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data-v3"]
    row = {"number": 1, "left out": 1, "changed": 0, "lowest IoU": 0.0, "example": "scene.png"}
    assert told == [{"objects": "crowd regions", **row}]


@pytest.mark.parametrize("key", sorted({*FORMATS} - {*WITHOUT_CROWDS}))
def test_the_formats_that_hold_everything_ask_nothing(
    key: str, version: DatasetVersion, tmp_path: Path
) -> None:
    report = export_version(version, find_writer(key), tmp_path / "out")
    assert report.losses == ()
    (said,) = report.sentences()
    assert said.endswith(
        f"3 pictures with 7 objects of data-v3 as {report.format}; every mask is as it was, to the pixel"
    )


def test_with_consent_the_report_says_what_was_left_out(version: DatasetVersion, tmp_path: Path) -> None:
    report = exported(version, "yolo", tmp_path / "out")
    assert report.sentences()[0].endswith("of data-v3 as YOLO segmentation; 1 crowd region left out")


@pytest.mark.parametrize("ending", ["", ".zip"])
@pytest.mark.parametrize("key", FORMATS)
def test_the_same_version_gives_the_same_bytes(key: str, ending: str, tmp_path: Path) -> None:
    made = []
    for turn in ("one", "other"):
        version, target = drawn_version(tmp_path / turn / "data"), tmp_path / turn / f"out{ending}"
        exported(version, key, target)
        made.append(target.read_bytes() if ending else contents(target))
    assert made[0] == made[1]


@pytest.mark.parametrize("key", FORMATS)
def test_an_archive_holds_what_the_folder_holds(key: str, version: DatasetVersion, tmp_path: Path) -> None:
    exported(version, key, tmp_path / "out")
    exported(version, key, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    assert packed == contents(tmp_path / "out")


@pytest.mark.parametrize("key", FORMATS)
def test_one_split_can_be_exported_alone(key: str, version: DatasetVersion, tmp_path: Path) -> None:
    report = exported(version, key, tmp_path / "out", split="val")
    assert (report.num_pictures, report.num_instances) == (1, 2)
    assert list(validated(key, tmp_path / "out")) == ["photo.jpg"]


def test_a_split_without_pictures_is_no_export(version: DatasetVersion, tmp_path: Path) -> None:
    alone = version_of(version.root, [each for each in version.pictures if each.split == "train"])
    with pytest.raises(NotFoundError, match="data-v3 has no pictures in val"):
        exported(alone, "coco", tmp_path / "out", split="val")


def test_an_export_overwrites_nothing(version: DatasetVersion, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(RefusedError, match="the folder is not empty"):
        exported(version, "coco", full)
    archive = tmp_path / "mine.zip"
    archive.write_text("mine")
    with pytest.raises(RefusedError, match="there is a file already"):
        exported(version, "coco", archive)
    assert (contents(full), archive.read_text()) == ({"mine.txt": b"mine"}, "mine")


def test_an_empty_folder_is_filled(version: DatasetVersion, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    exported(version, "coco", tmp_path / "out")
    assert (tmp_path / "out" / "images" / "scene.png").is_file()


@pytest.mark.parametrize("ending", ["", ".zip"])
def test_nothing_is_left_of_an_export_that_was_stopped(
    ending: str, version: DatasetVersion, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exported(version, "coco", tmp_path / f"out{ending}", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["data-v3"]


def test_a_picture_that_went_costs_the_export_and_leaves_nothing(
    version: DatasetVersion, tmp_path: Path
) -> None:
    version.path(version.pictures[0]).unlink()
    with pytest.raises(StorageError):
        exported(version, "coco", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress_counts_every_file(version: DatasetVersion, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    exported(version, "labelme", tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 6) for number in range(1, 7)]


def test_pictures_of_one_name_stay_apart_in_every_format(tmp_path: Path) -> None:
    root = tmp_path / "data"
    pictures = [
        stored(root, scene_png(number), name, instances=scene_instances()[number : number + 1])
        for number, name in enumerate(["a/line 1.png", "b/LINE 1.png", "line 1.jpg"])
    ]
    for key in FORMATS:
        exported(version_of(root, pictures), key, tmp_path / key)
        kept = validated(key, tmp_path / key)
        assert len(kept) == 3
        assert sorted(map(len, kept.values())) == [1, 1, 1]


def test_touching_holes_and_parts_are_kept_by_an_outline(tmp_path: Path) -> None:
    """Squares that touch at corners, holes that touch, and an island in a hole."""
    mask = block(0, 0, 100, 80) & ~block(10, 10, 30, 30) & ~block(40, 40, 20, 20) | block(20, 20, 5, 5)
    mask &= ~block(0, 70, 10, 10)
    mask[70:, 20:] = False
    mask[75, 30::2] = True
    instance = LabelledInstance(0, encode_masks(mask[None])[0])
    root = tmp_path / "data"
    picture = stored(root, scene_png(), "scene.png", instances=[instance])
    export_version(version_of(root, [picture]), find_writer("yolo"), tmp_path / "out")
    assert validated("yolo", tmp_path / "out") == {"scene.png": (instance,)}


def test_data_yaml_names_the_splits_that_are_there(version: DatasetVersion, tmp_path: Path) -> None:
    exported(version, "yolo", tmp_path / "out")
    assert (tmp_path / "out" / "data.yaml").read_text() == (
        "train: images/train\nval: images/val\nnames:\n  0: nut\n  1: bolt\n  2: gear\n"
    )


def test_a_yolo_outline_runs_along_the_edges_of_pixels(version: DatasetVersion, tmp_path: Path) -> None:
    exported(version, "yolo", tmp_path / "out")
    lines = (tmp_path / "out" / "labels" / "train" / "scene.txt").read_text().splitlines()
    assert len(lines) == len(SCENE) - 1
    numbers = lines[2].split()
    assert numbers[0] == "2"
    assert [float(share) for share in numbers[1:]] == [0.5, 0.75, 0.51, 0.75, 0.51, 0.7625, 0.5, 0.7625]


def test_label_studio_gets_the_interface_that_its_brushes_need(
    version: DatasetVersion, tmp_path: Path
) -> None:
    exported(version, "label-studio", tmp_path / "out")
    interface = (tmp_path / "out" / "interface.xml").read_text()
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    regions = [region for task in tasks for region in task["annotations"][0]["result"]]
    assert {(region["from_name"], region["to_name"]) for region in regions} == {("brush", "image")}
    assert '<BrushLabels name="brush" toName="image">' in interface
    assert all(f'<Label value="{name}" background="#' in interface for name in CLASSES)
    addresses = {task["data"]["image"] for task in tasks}
    assert "/data/local-files/?d=images/scene.png" in addresses


def test_pictures_that_few_tools_open_are_told(tmp_path: Path) -> None:
    picture = stored(tmp_path / "data", b"II*\0 no real picture", "scan.tif", split="train")
    report = exported(version_of(tmp_path / "data", [picture]), "coco", tmp_path / "out")
    assert report.sentences()[1].startswith(
        "1 picture exported as stored, in file formats that few tools open"
    )


def test_every_writer_names_a_reader() -> None:
    assert {writer.reader for writer in WRITERS} <= {*READ_FORMATS}
