"""What maskloop makes of an export: the IoU of each drawn object, and what is said of it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.bends.evidence import Batch
from dataset.bends.mending import judge_bends
from dataset.coco.document import CocoFile
from dataset.coco.listing import picture_names
from dataset.coco.picture_files import locate_pictures
from dataset.coco.validation import FoundPicture, Reading, ValidationReport, validate_batch
from dataset.formats.archives import open_source
from dataset.ingestion.ingest import find_pictures
from dataset.labelled_pictures import LabelledInstance
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.problems import DataProblem, by_kind
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from maskloop.masks import decode_masks, rle_from_coco
from tests.label_tools.environments import RECORDS
from tests.label_tools.own_exports import OWN_EXPORTS
from tests.label_tools.scene import (
    CATEGORIES,
    EMPTY,
    HEIGHT_PX,
    OBJECTS,
    PHOTO,
    SCENE,
    TURNED,
    WIDTH_PX,
    DrawnObject,
)

LOST: Final = "lost"
_MAX_MPX: Final = 1.0
_PLACES: Final = {
    "label-studio": "images/0a1b2c3d-{name}",
    "labelme": "{name}",
    "supervision-labelme": "{name}",
    "supervisely-project": "project/line/img/{name}",
    "sahi-slices": "{stem}_{number}_0_0_100_80.png",
    "datumaro-yolo": "images/{part}/{name}",
    "datumaro-voc": "JPEGImages/{name}",
    "datumaro-labelme-xml": "Images/default/{name}",
    "datumaro-cityscapes": "imgsFine/leftImg8bit/default/{stem}_leftImg8bit.png",
}
"""Where an export has its pictures, by the beginning of its name; the others have them in ``images``."""


@dataclass(frozen=True)
class Measured:
    """One export as maskloop reads it.

    Attributes:
        cells: What became of each drawn object, by its name: an IoU with a word, or `LOST`.
        told: The problems, as ``severity code``, the gravest first, each once.
        tool: Which tool maskloop takes it for.
        refused: The message, if nothing could be read.
    """

    cells: dict[str, str]
    told: tuple[str, ...] = ()
    tool: str = ""
    refused: str = ""


@cache
def measure(name: str, *, is_mending: bool = False) -> Measured:
    """Read one folder of the records together with its pictures, as `maskloop ingest` does.

    Args:
        name: The folder.
        is_mending: With ``--mend``; what is told is what would be told without it.
    """
    drawn: Sequence[DrawnObject] = (TURNED,) if "photo" in name else OBJECTS
    picture = PHOTO if "photo" in name else SCENE
    try:
        coco, found = _read(name)
    except DataError as error:
        return Measured(dict.fromkeys((each.name for each in drawn), LOST), refused=error.headline)
    return _measured(coco, found, drawn, picture, is_mending=is_mending)


@cache
def _read(name: str) -> tuple[CocoFile, dict[str, FoundPicture | DataProblem]]:
    """Return the labels of an export and the pictures they name. Raises DataError if nothing can be read."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_source(lay_out(name, Path(folder) / "batch")) as source,
    ):
        coco = read_labels(source)
        images_dir = coco.images_dir or locate_pictures(coco.path, picture_names(coco))
        return coco, _find_pictures(coco, images_dir)


def _find_pictures(coco: CocoFile, images_dir: Path) -> dict[str, FoundPicture | DataProblem]:
    with SandboxedDecoder(DecodingLimits(max_mpx=_MAX_MPX)) as decoder:
        return find_pictures(coco, images_dir, decoder)


def lay_out(name: str, folder: Path) -> Path:
    """Copy an export to a folder with its pictures where the tool has them. Returns the folder."""
    shutil.copytree(RECORDS / name, folder)
    names = (PHOTO,) if "photo" in name else (SCENE, EMPTY)
    for number, picture in enumerate(names):
        begins = max((each for each in _PLACES if name.startswith(each)), key=len, default="")
        part = "val" if picture == EMPTY else "train"
        stem = Path(picture).stem
        place = _PLACES.get(begins, "images/{name}").format(name=picture, stem=stem, number=number, part=part)
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(RECORDS / "pictures" / picture, folder / place)
    return folder


@cache
def measure_export(key: str) -> Measured:
    """Return what maskloop has of its own export of the scene."""
    folder = OWN_EXPORTS / key
    documents = sorted(folder.glob("**/instances_train.json")) or sorted(folder.glob("train/labels.json"))
    with open_source(documents[0] if documents else folder) as source:
        coco = read_labels(source)
        assert coco.images_dir
        found = _find_pictures(coco, coco.images_dir)
    return _measured(coco, found, OBJECTS, SCENE, is_mending=False)


@cache
def measure_reads(name: str) -> Measured:
    """Return what a tool had of maskloop's own COCO."""
    content = json.loads((RECORDS / name / "found.json").read_text(encoding="utf-8"))
    if "error" in content:
        return Measured(dict.fromkeys((each.name for each in OBJECTS), LOST), refused=content["error"])
    classes = list(CATEGORIES.values())
    found = [
        LabelledInstance(
            classes.index(each["class"]), rle_from_coco(each["mask"], HEIGHT_PX, WIDTH_PX), each["is_crowd"]
        )
        for each in content["found"]
    ]
    return Measured(_cells(OBJECTS, found, classes))


def _measured(
    coco: CocoFile,
    found: dict[str, FoundPicture | DataProblem],
    drawn: Sequence[DrawnObject],
    picture: str,
    *,
    is_mending: bool,
) -> Measured:
    def validate(batch: Batch) -> ValidationReport:
        return validate_batch(batch.coco, found, reading=batch.reading)

    report, bends, _ = judge_bends(Batch(coco, Reading()), validate, is_mending=False)
    told = dict.fromkeys(f"{one.severity} {one.code}" for one in by_kind((*report.all_problems, *bends)))
    taken, _, _ = judge_bends(Batch(coco, Reading()), validate, is_mending=is_mending)
    spared, _, _ = judge_bends(
        Batch(_without_bad(coco, taken.all_problems), Reading()), validate, is_mending=is_mending
    )
    instances = [
        instance
        for usable in spared.usable
        if Path(usable.found.name).stem.endswith(Path(picture).stem) or "scene_0" in usable.found.name
        for instance in usable.instances
    ]
    return Measured(_cells(drawn, instances, spared.class_names), tuple(told), coco.tool)


def _without_bad(coco: CocoFile, problems: Iterable[DataProblem]) -> CocoFile:
    """Return a batch without the annotations that errors name: the other masks are to be measured too."""
    bad = {one.where for one in problems if one.severity == "error" and one.picture}
    kept = [each for number, each in enumerate(coco.annotations) if f"/annotations/{number}" not in bad]
    return replace(coco, annotations=tuple(kept))


def _cells(
    drawn: Sequence[DrawnObject], found: Sequence[LabelledInstance], class_names: Sequence[str]
) -> dict[str, str]:
    masks = decode_masks([one.mask for one in found]) if found else np.zeros((0, 1, 1), np.bool_)
    return {each.name: _cell(each, found, masks, class_names) for each in drawn}


def _cell(
    drawn: DrawnObject,
    found: Sequence[LabelledInstance],
    masks: NDArray[np.bool_],
    class_names: Sequence[str],
) -> str:
    """Return the best IoU with an object, and what else became of it: its flag, class and number."""
    height_px, width_px = masks.shape[1:]
    truth = drawn.mask(height_px, width_px) > 0
    overlaps = [float((truth & mask).sum() / (truth | mask).sum()) for mask in masks]
    hits = [index for index, overlap in enumerate(overlaps) if overlap > 0]
    if not hits:
        return LOST
    best = max(hits, key=lambda index: overlaps[index])
    one = found[best]
    words = [f"{overlaps[best]:.3f}"]
    if one.is_crowd != drawn.is_crowd:
        words.append("crowd" if one.is_crowd else "not a crowd")
    if len(hits) > 1:
        words.append(f"{len(hits)} objects")
    if class_names[one.class_index] != CATEGORIES[drawn.category_id]:
        words.append(f"as {class_names[one.class_index]!r}")
    return ", ".join(words)
