"""Pictures for a game day, made of the workspace's own held-out ones, and how the champion gets them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.pictures.decoding import encode_png
from dataset.versions.catalog import annotation_records
from flows.answering.batch_prediction import predict
from flows.evidence.evaluate import load_picture
from flows.gameday.scenario import Stage, UnhandledError
from maskloop.files import write_bytes, write_text

Pixels = NDArray[np.uint8]
Alter = Callable[[Pixels, np.random.Generator], Pixels]
MAX_PICTURES: Final = 120


def as_they_are(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Return a picture of the same scene, of which hardly a pixel differs: other bytes, the same look."""
    noise = generator.integers(0, 2, pixels.shape)
    altered: Pixels = np.clip(pixels.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    return altered


def through_another_camera(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Return what a darker, yellower and blurred camera with more noise would have seen."""
    seen = pixels.astype(np.float64)
    for axis in (0, 1):
        seen = (np.roll(seen, 1, axis) + seen + np.roll(seen, -1, axis)) / 3
    seen = seen * np.array([0.55, 0.5, 0.3]) + generator.normal(0, 12, pixels.shape)
    altered: Pixels = np.clip(seen, 0, 255).astype(np.uint8)
    return altered


def held_out(version: DatasetVersion, limit: int = MAX_PICTURES) -> tuple[LabelledPicture, ...]:
    """Return validation and test pictures, as a digest orders them: no training has seen them."""
    found = [*version.by_split["val"], *version.by_split["test"]]
    return tuple(sorted(found, key=lambda one: one.digest)[:limit])


def current_version(stage: Stage) -> DatasetVersion:
    """Return the current data version. Raises UnhandledError if there is none."""
    if (version := stage.app.data.current()) is None:
        raise UnhandledError("there are no data to play with", hint="run `maskloop ingest` first")
    return version


def read_pixels(stage: Stage, version: DatasetVersion, picture: LabelledPicture) -> Pixels:
    """Return a picture's pixels, uint8 (H, W, 3)."""
    return load_picture(version.path(picture), stage.app.settings.data.max_picture_mpx)


def write_pictures(
    stage: Stage, version: DatasetVersion, pictures: Sequence[LabelledPicture], alter: Alter, name: str
) -> Path:
    """Write altered pictures as PNG files below a folder of the copy, and return that folder."""
    folder = stage.workspace.root / "gameday" / name / "images"
    for number, picture in enumerate(pictures):
        altered = alter(read_pixels(stage, version, picture), np.random.default_rng([number, len(name)]))
        write_bytes(folder / f"{name}-{number:04}.png", encode_png(altered))
    return folder


def write_labels(
    folder: Path, version: DatasetVersion, pictures: Sequence[LabelledPicture], renamed: Mapping[str, str]
) -> Path:
    """Write the pictures' labels as COCO beside a folder of `write_pictures`; returns the file.

    Args:
        folder: The pictures' folder.
        version: Whose labels they are.
        pictures: In the order in which they were written.
        renamed: Another class for those of a class, by name.
    """
    files = sorted(file.name for file in folder.iterdir())
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures, start=1):
        annotations += annotation_records(picture, number, first_id=len(annotations) + 1)
    numbers = {name: number for number, name in enumerate(version.class_names, start=1)}
    others = {numbers[name]: numbers[other] for name, other in renamed.items()}
    for one in annotations:
        one["category_id"] = others.get(one["category_id"], one["category_id"])
    coco = {
        "images": [
            {"id": number, "file_name": name, "width": one.width_px, "height": one.height_px}
            for number, (name, one) in enumerate(zip(files, pictures, strict=True), start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
    }
    file = folder.parent / "annotations.json"
    write_text(file, json.dumps(coco))
    return file


def answer(stage: Stage, folder: Path, source: str) -> str:
    """Let the champion answer the pictures of a folder, as production samples; returns it as a sentence."""
    answers = predict(stage.app, [folder], source=source)
    num_failed = sum(bool(one.error) for one in answers)
    return f"{len(answers)} pictures of {source} answered, {num_failed} could not be"
