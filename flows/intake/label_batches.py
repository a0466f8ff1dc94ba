"""Labelled pictures from within the loop become a batch, which is ingested like any other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset.coco.frames import Frame
from dataset.ingestion.plan import IngestOptions
from dataset.ingestion.refusal import BatchRefusedError
from maskloop.masks import Rle

if TYPE_CHECKING:
    from dataset.coco.validation import ValidationReport
    from dataset.ingestion.ingest import IngestResult


@dataclass(frozen=True)
class BatchPicture:
    """One labelled picture.

    Attributes:
        name: Of its file in the batch; no other picture has it.
        read: Returns the file's bytes.
        size_hw: Height and width in px of the masks.
        frame: Whether they lie in the file as stored, or upright.
        instances: Class name, mask, and whether it is a crowd region.
        origin: Tool, task, annotator and time, see `dataset.origin`; empty: not known.
    """

    name: str
    read: Callable[[], bytes]
    size_hw: tuple[int, int]
    frame: Frame
    instances: Sequence[tuple[str, Rle, bool]]
    origin: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TakenBatch:
    """What came of a batch.

    Attributes:
        tag: The data version that holds it; empty if there is none.
        refused: By the name of a picture that was left out: why.
        waiting: Names of pictures that wait, because no picture of the batch shows an object.
    """

    tag: str
    refused: dict[str, str]
    waiting: tuple[str, ...] = ()


def ingest_pictures(
    take: Callable[..., IngestResult],
    folder: Path,
    pictures: Sequence[BatchPicture],
    class_names: Sequence[str],
    options: IngestOptions,
) -> TakenBatch:
    """Ingest pictures; what is refused is left out, and the rest tried again.

    Args:
        take: Ingests the batch: `flows.intake.batch_intake.ingest` for a workspace.
        folder: Where the batch is written, and removed again.
        pictures: The batch.
        class_names: The classes of the data.
        options: What is said about it.

    Raises:
        StorageError: if the data cannot be written.
        UnavailableError: if somebody else ingests, or the remote does not answer.
    """
    refused: dict[str, str] = {}
    while any(picture.instances for picture in pictures):
        try:
            result = take(_write(folder, pictures, class_names), folder, options=options)
        except BatchRefusedError as error:
            bad = _find_bad(error.report, pictures) or dict.fromkeys(
                (picture.name for picture in pictures), error.headline
            )
            refused |= bad
            pictures = [picture for picture in pictures if picture.name not in bad]
            continue
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        tag = result.version.tag if result.version else ""
        return TakenBatch(tag, refused | _find_bad(result.report, pictures))
    return TakenBatch("", refused, tuple(picture.name for picture in pictures))


def _find_bad(report: ValidationReport, pictures: Sequence[BatchPicture]) -> dict[str, str]:
    reasons = {problem.picture: problem.message for problem in report.problems if problem.picture}
    return {picture.name: reasons[picture.name] for picture in pictures if picture.name in reasons}


def _write(folder: Path, pictures: Sequence[BatchPicture], class_names: Sequence[str]) -> Path:
    """Write a COCO batch: pictures as they were received, masks as they were drawn."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    categories = {name: number for number, name in enumerate(class_names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(sorted(pictures, key=lambda one: one.name), start=1):
        (folder / picture.name).write_bytes(picture.read())
        height_px, width_px = picture.size_hw
        size = {"width": width_px, "height": height_px}
        told = {"origin": dict(picture.origin)} if picture.origin else {}
        images.append({"id": number, "file_name": picture.name, **size, "frame": picture.frame, **told})
        for class_name, mask, is_crowd in picture.instances:
            record = {"image_id": number, "category_id": categories[class_name], "iscrowd": int(is_crowd)}
            annotations.append({"id": len(annotations) + 1, **record, "segmentation": mask.to_coco()})
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }
    file = folder / "labels.json"
    file.write_text(json.dumps(content))
    return file
