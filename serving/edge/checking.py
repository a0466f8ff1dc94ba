"""The stored pictures of a bundle, answered again: a device must say what the bundle did when it was made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from dataset.pictures.decoding import DecodedPicture
from dataset.pictures.orientation import orient_size, undo
from evaluation.instances import Detections
from maskloop.errors import IntegrityError
from maskloop.masks import mask_iou
from models.answering.instance_json import read_instances, write_instances
from models.ports import Predictor
from serving.edge.manifest import CHECKS_FOLDER, BundleManifest, CheckPicture

_MIN_IOU: Final = 0.95
_MAX_SCORE_SHIFT: Final = 0.05
Decode = Callable[[bytes], DecodedPicture]


def answer_check(predictor: Predictor, file: str, picture: DecodedPicture) -> CheckPicture:
    """Return a picture with the instances that a bundle tells of it."""
    (answer,) = predictor.predict([picture.pixels])
    told = answer.detections.select(answer.detections.reach(predictor.score_threshold))
    rows = write_instances(told, predictor.class_names, orientation=picture.orientation)
    return CheckPicture(file=file, instances=tuple(rows))


def refuse_other_answers(
    bundle: Path, manifest: BundleManifest, predictor: Predictor, decode: Decode
) -> None:
    """Answer the stored pictures and compare.

    Every stored instance must be found with a mask IoU of 0.95 and a score within 0.05, whatever side of the
    threshold that is on, and nothing else well above the threshold.

    Raises:
        IntegrityError: naming the picture and the difference.
    """
    for check in manifest.checks:
        picture = decode((bundle / CHECKS_FOLDER / check.file).read_bytes())
        height, width = picture.pixels.shape[:2]
        (answer,) = predictor.predict([picture.pixels])
        stored = read_instances(
            check.instances,
            predictor.class_names,
            orientation=picture.orientation,
            stored_size_px=orient_size(height, width, undo(picture.orientation)),
        )
        if difference := find_difference(stored, answer.detections, predictor):
            raise IntegrityError(
                f"this device answers otherwise than the bundle did when it was made: {difference}",
                where=f"{CHECKS_FOLDER}/{check.file}",
                hint="install the versions in requirements.txt; if it stays, the library computes otherwise "
                "on this processor: use another format",
            )


def find_difference(stored: Detections, found: Detections, predictor: Predictor) -> str:
    """Say how an answer differs from the stored one, which has told instances alone; empty if it does not."""
    same_class = stored.class_indices[:, None] == found.class_indices[None, :]
    iou = np.where(same_class, mask_iou(stored.masks, found.masks), 0.0)
    shift = np.abs(stored.scores[:, None] - found.scores[None, :])
    is_same = (iou >= _MIN_IOU) & (shift <= _MAX_SCORE_SHIFT)
    if len(stored) and not is_same.any(axis=1).all():
        lost = int(np.flatnonzero(~is_same.any(axis=1))[0])
        name = predictor.class_names[stored.class_indices[lost]]
        return f"the {name} of score {stored.scores[lost]:.2f} is not found again"
    sure = found.reach(_raised(predictor))
    if sure.sum() > len(stored):
        return f"{int(sure.sum())} instances are told, and {len(stored)} were"
    return ""


def _raised(predictor: Predictor) -> float | tuple[float, ...]:
    threshold = predictor.score_threshold
    if isinstance(threshold, tuple):
        return tuple(each + _MAX_SCORE_SHIFT for each in threshold)
    return threshold + _MAX_SCORE_SHIFT
