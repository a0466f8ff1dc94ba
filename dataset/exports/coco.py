"""COCO with RLE, which holds everything: laid out as most tools want it, or as FiftyOne does.

One file for each split. RLE is written of ordinary objects too, because polygons have no holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset.exports.port import ExportedPicture, ExportedVersion, LabelWriter, remarks_of, write_json
from dataset.versions.catalog import annotation_records


def write(version: ExportedVersion, folder: Path) -> tuple[str, ...]:
    """Write ``annotations/instances_SPLIT.json``."""
    return _write_files(version, folder, "annotations/instances_{}.json")


def write_fiftyone(version: ExportedVersion, folder: Path) -> tuple[str, ...]:
    """Write ``SPLIT/labels.json``, beside which FiftyOne looks for ``data``."""
    return _write_files(version, folder, "{}/labels.json")


COCO: LabelWriter = LabelWriter("coco", "COCO", "coco", lambda picture: f"images/{picture.name}", write)
FIFTYONE: LabelWriter = LabelWriter(
    "fiftyone",
    "COCO as FiftyOne imports it",
    "coco",
    lambda picture: f"{picture.split}/data/{picture.name}",
    write_fiftyone,
)


def _write_files(version: ExportedVersion, folder: Path, pattern: str) -> tuple[str, ...]:
    files = []
    for split, pictures in version.by_split().items():
        files.append(pattern.format(split))
        write_json(folder / files[-1], _document(version, pictures))
    return tuple(files)


def _document(version: ExportedVersion, pictures: Sequence[ExportedPicture]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures, start=1):
        annotations += annotation_records(picture.labelled, number, first_id=len(annotations) + 1)
    return {
        "info": {"description": f"{version.tag}, exported by maskloop"},
        "images": [_image(number, picture) for number, picture in enumerate(pictures, start=1)],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(version.class_names, start=1)
        ],
    }


def _image(number: int, picture: ExportedPicture) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": picture.name,
        "width": picture.labelled.width_px,
        "height": picture.labelled.height_px,
        "frame": "upright",
        "maskloop": dict(remarks_of(picture.labelled)),
    }
