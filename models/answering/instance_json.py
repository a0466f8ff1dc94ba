"""Instances as JSON, and back: the only place that converts them.

A model sees its picture upright, as in training; boxes and masks of an answer are those of the stored file.
The service, `maskloop predict` (with and without `--url`), MLflow's pyfunc, the pair log and the slices all
use these functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dataset.pictures.orientation import orient_boxes, orient_mask, orient_size, undo
from evaluation.instances import Detections, ScoreThreshold
from maskloop.masks import Rle, rle_from_coco

MAX_INSTANCES: Final = 300
"""An answer holds no more than these, unless its reader asks for another number."""
_UNKNOWN_CLASS: Final = -1


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """One instance as it is told.

    Attributes:
        class_name: What it is.
        score: 0..1, four decimals.
        box_xyxy: Left, top, right, bottom in px of the stored picture, two decimals.
        mask: Of the stored picture's size.
    """

    class_name: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    mask: Rle

    def to_json(self) -> dict[str, Any]:
        """Return ``class_name``, ``score``, ``box_xyxy`` and ``segmentation`` (COCO RLE)."""
        return {
            "class_name": self.class_name,
            "score": self.score,
            "box_xyxy": list(self.box_xyxy),
            "segmentation": self.mask.to_coco(),
        }


def list_instances(
    found: Detections,
    class_names: Sequence[str],
    *,
    orientation: int,
    threshold: ScoreThreshold,
    max_instances: int = MAX_INSTANCES,
) -> list[FoundInstance]:
    """Return the instances of an answer, best score first.

    Args:
        found: Everything the model found, in the upright picture.
        class_names: What class indices count into.
        orientation: The EXIF orientation of the file, 1 to 8.
        threshold: Instances below it are left out: the model's own, or the lowest score asked for.
        max_instances: The best so many are told.
    """
    kept = np.zeros(len(found), dtype=bool)
    kept[np.flatnonzero(found.reach(threshold))[:max_instances]] = True
    told = to_stored(found.select(kept), orientation)
    classes, scores, boxes = told.class_indices.tolist(), told.scores.tolist(), told.boxes_xyxy.tolist()
    return [
        FoundInstance(class_names[index], round(score, 4), _round_box(box), mask)
        for index, score, box, mask in zip(classes, scores, boxes, told.masks, strict=True)
    ]


def write_instances(
    found: Detections, class_names: Sequence[str], *, orientation: int
) -> list[dict[str, Any]]:
    """Return every instance, however low its score, as `read_instances` reads it.

    Args:
        found: In the upright picture.
        class_names: What class indices count into.
        orientation: The EXIF orientation of the file, 1 to 8.
    """
    told = list_instances(
        found, class_names, orientation=orientation, threshold=0.0, max_instances=len(found)
    )
    return [one.to_json() for one in told]


def read_instances(
    rows: Sequence[Mapping[str, Any]],
    class_names: Sequence[str],
    *,
    orientation: int,
    stored_size_px: tuple[int, int],
) -> Detections:
    """Return instances that `write_instances` wrote, in the upright picture.

    Args:
        rows: As written.
        class_names: What class indices shall count into; the index of a class that is none of them is -1.
        orientation: The EXIF orientation of the file.
        stored_size_px: Height and width of the picture as its file stores it.

    Raises:
        MaskError: if a mask does not fit the picture.
    """
    index_of = {name: index for index, name in enumerate(class_names)}
    stored = Detections(
        *stored_size_px,
        np.array([row["box_xyxy"] for row in rows], np.float32).reshape(-1, 4),
        np.array([row["score"] for row in rows], np.float32),
        np.array([index_of.get(row["class_name"], _UNKNOWN_CLASS) for row in rows], np.int64),
        tuple(rle_from_coco(row["segmentation"], *stored_size_px) for row in rows),
    )
    return _turn(stored, orientation)


def to_stored(found: Detections, orientation: int) -> Detections:
    """Turn detections in an upright picture into the coordinates of its file.

    Args:
        found: In the upright picture.
        orientation: The EXIF orientation of the file, 1 to 8.
    """
    return _turn(found, undo(orientation))


def _round_box(box_xyxy: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(side, 2) for side in box_xyxy)
    return left, top, right, bottom


def _turn(found: Detections, orientation: int) -> Detections:
    if orientation == 1:
        return found
    boxes = orient_boxes(found.boxes_xyxy, orientation, found.height_px, found.width_px)
    masks = tuple(orient_mask(mask, orientation) for mask in found.masks)
    height, width = orient_size(found.height_px, found.width_px, orientation)
    return Detections(height, width, boxes, found.scores, found.class_indices, masks)
