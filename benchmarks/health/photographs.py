"""Real photographs with their published labels, as versions to train on and to look for errors in.

They are the data sets of ``benchmarks/real``: car parts in nine classes, and fluorescence micrographs of
nuclei, up to 369 in a picture.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import ndimage

from benchmarks.real.__main__ import HERE as REAL
from benchmarks.real.__main__ import find_data
from dataset.ingestion.plan import IngestOptions
from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from evaluation.label_errors import LabelError
from flows.intake.batch_intake import ingest
from flows.workspace.creation import init_workspace
from flows.workspace.wiring import open_app
from maskloop.masks import Rle, crop_mask
from maskloop.settings.workspace_settings import Settings

VAL_EVERY: Final = 10
_LEAST_PART: Final = 0.1


@dataclass(frozen=True)
class Published:
    """The published files of one data set.

    Attributes:
        checked: Those whose labels are checked.
        other: Those that the first model learns from.
        stained: Those of another kind, which no model here sees.
        prefix: Of the files' names.
    """

    checked: tuple[str, ...]
    other: tuple[str, ...]
    stained: tuple[str, ...]
    prefix: str


PUBLISHED: Final = {
    "carparts": Published(("coarse_train",), ("coarse_val", "coarse_test"), (), ""),
    "nuclei": Published(
        ("fluo_train",), ("fluo_val", "fluo_test"), ("stained_adapt", "stained_test"), "instances_"
    ),
}


def open_photographs(name: str, root: Path) -> tuple[DatasetVersion, DatasetVersion, Settings]:
    """Return the pictures to learn from, those to check, and the settings of ``benchmarks/real``.

    Args:
        name: One of `PUBLISHED`.
        root: The folder of a workspace; it is made and filled if it is not there.
    """
    version, settings = open_versions(name, root)
    other, checked = (
        with_validation(version, [picture for picture in version.pictures if picture.source == source])
        for source in ("other", "checked")
    )
    return other, checked, settings


def open_versions(name: str, root: Path) -> tuple[DatasetVersion, Settings]:
    """Return all pictures of a data set, each with its source ``checked``, ``other`` or ``stained``."""
    published, data = PUBLISHED[name], find_data() / name
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(REAL / f"{name}.toml", root / "maskloop.toml")
    init_workspace(root)
    app = open_app(root)
    sources = (("checked", published.checked), ("other", published.other), ("stained", published.stained))
    for source, files in sources:
        for file in files:
            labels = data / "annotations" / f"{published.prefix}{file}.json"
            ingest(app, labels, data / "images", options=IngestOptions(source, "train"))
    version = app.data.current()
    if version is None:
        raise SystemExit(f"nothing came in from {data}")
    return version, app.settings


def with_validation(version: DatasetVersion, pictures: Sequence[LabelledPicture]) -> DatasetVersion:
    """Return a version of these pictures alone, of which every tenth is for validation."""
    split = [
        replace(picture, split="val" if number % VAL_EVERY == 0 else "train")
        for number, picture in enumerate(pictures)
    ]
    return replace(version, pictures=tuple(split))


def count_parts(mask: Rle) -> int:
    """Count the parts of a mask that have at least a tenth of the area of the largest."""
    parts, number = ndimage.label(crop_mask(mask)[2])
    areas = np.bincount(parts.ravel(), minlength=number + 1)[1:]
    return int((areas >= _LEAST_PART * areas.max()).sum()) if number else 0


def find_published_merges(
    checked: DatasetVersion, errors: Sequence[LabelError], *, num_first: int
) -> dict[str, Any]:
    """Count the published labels of several parts among the first that are listed as merged.

    Args:
        checked: With the labels as they were published.
        errors: The ranking of these.
        num_first: How many a person looks at.
    """
    pictures = {picture.digest: picture for picture in checked.pictures}
    parts = {
        (picture.digest, label): count_parts(one.mask)
        for picture in checked.pictures
        for label, one in enumerate(picture.instances)
    }
    first = [error for error in errors if error.kind == "merged"][:num_first]
    places = [(error.picture_id, error.labels[0]) for error in first]
    right = [place for place in places if parts[place] > 1]
    names = [checked.class_names[pictures[digest].instances[label].class_index] for digest, label in right]
    num_merged = sum(number > 1 for number in parts.values())
    return {
        "labels": len(parts),
        "of several parts": num_merged,
        "listed": len(first),
        "right": len(right),
        "by class": {name: names.count(name) for name in sorted(set(names))},
        "expected by chance": round(len(first) * num_merged / len(parts), 1),
    }
