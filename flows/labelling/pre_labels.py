"""Chosen pictures with the champion's answers, as a COCO batch that a person corrects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dataset.labelled_pictures import DatasetVersion
from dataset.pictures.orientation import orient_size, undo
from evaluation.instances import Detections
from evaluation.overlays import Artist
from flows.labelling.kept_pictures import KeptPicture, KeptPictures
from maskloop.errors import RefusedError
from maskloop.files import write_bytes, write_text
from maskloop.masks import areas_px, boxes_xyxy
from maskloop.records.kinds import ChosenPicture
from maskloop.state.loop_state import LoopState
from models.answering.instance_json import FoundInstance, list_instances
from models.ports import Predictor
from monitoring.pages.request_page import ShownPicture
from monitoring.samples.sample_log import SampleLog

LABELS_FILE: Final = "labels.json"


@dataclass(frozen=True)
class AnsweredPicture:
    """A chosen picture and the champion's answer.

    Attributes:
        chosen: Why it was chosen.
        picture: Its bytes and pixels.
        found: From the champion's own threshold on, in the upright picture.
        instances: The same, with the classes as the data call them, in the stored picture.
    """

    chosen: ChosenPicture
    picture: KeptPicture
    found: Detections
    instances: tuple[FoundInstance, ...]

    @property
    def file_name(self) -> str:
        """Its name in a batch."""
        return f"{self.chosen.picture_digest}{self.picture.decoded.extension}"

    def show(self, artist: Artist, predictor: Predictor) -> ShownPicture:
        """Return the picture with the answer drawn over it."""
        pixels = artist.draw_overlay(self.picture.decoded.pixels, self.found, None, predictor.class_names)
        return ShownPicture(self.chosen, pixels)


def answer_chosen(
    chosen: Sequence[ChosenPicture],
    samples: SampleLog,
    pictures: KeptPictures,
    predictor: Predictor,
    state: LoopState,
) -> list[AnsweredPicture]:
    """Let the champion answer chosen pictures; those that are not kept any more are left out."""
    trained_on = state.data_of(predictor.weights_digest)
    names = tuple(state.class_between(name, trained_on, state.data_tag) for name in predictor.class_names)
    answered = []
    for one in chosen:
        sample = samples.get(one.sample_id)
        picture = pictures.open(sample) if sample else None
        if picture is not None:
            (prediction,) = predictor.predict([picture.decoded.pixels])
            found = prediction.detections
            told = list_instances(
                found,
                names,
                orientation=picture.decoded.orientation,
                threshold=predictor.score_threshold,
                max_instances=len(found),
            )
            sure = found.select(found.reach(predictor.score_threshold))
            answered.append(AnsweredPicture(one, picture, sure, tuple(told)))
    return answered


def write_pre_labels(
    folder: Path, answered: Sequence[AnsweredPicture], version: DatasetVersion | None, classes: Sequence[str]
) -> Path:
    """Write pictures, as they were received, and a COCO file; returns that file.

    Args:
        folder: Created if it is missing.
        answered: The pictures. Instances of a class that the data do not have are left out.
        version: The present data; None before the first.
        classes: Of the settings; empty for those of the data.

    Raises:
        RefusedError: if the folder holds other labels, which a person may have corrected.
        StorageError: if it cannot be written.
    """
    names = tuple(classes) or (version.class_names if version else ())
    content = json.dumps(to_coco(answered, names), indent=1) + "\n"
    file = folder / LABELS_FILE
    if file.exists() and file.read_text() != content:
        raise RefusedError(
            "this folder holds labels that are others, or were corrected",
            where=str(file),
            hint="name another folder",
        )
    for one in answered:
        write_bytes(folder / "images" / one.file_name, one.picture.data)
    write_text(file, content)
    return file


def to_coco(answered: Sequence[AnsweredPicture], class_names: Sequence[str]) -> dict[str, Any]:
    """Return a COCO batch in the coordinates of the stored files, with the reason for each picture."""
    categories = {name: number for number, name in enumerate(class_names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(sorted(answered, key=lambda one: one.file_name), start=1):
        decoded = one.picture.decoded
        height_px, width_px, _ = decoded.pixels.shape
        height_px, width_px = orient_size(height_px, width_px, undo(decoded.orientation))
        image = {"id": number, "file_name": one.file_name, "width": width_px, "height": height_px}
        images.append(image | {"frame": "stored", "reason": one.chosen.reason, "source": one.chosen.source})
        for told in one.instances:
            if told.class_name in categories and areas_px([told.mask])[0]:
                annotation = _to_annotation(told, categories[told.class_name])
                annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
    listed = [{"id": number, "name": name} for name, number in categories.items()]
    return {"images": images, "annotations": annotations, "categories": listed}


def _to_annotation(told: FoundInstance, category_id: int) -> dict[str, Any]:
    x0, y0, x1, y1 = boxes_xyxy([told.mask])[0].tolist()
    return {
        "category_id": category_id,
        "iscrowd": 0,
        "segmentation": told.mask.to_coco(),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(areas_px([told.mask])[0]),
        "score": told.score,
    }
