"""Labelled pictures as the ground truth that models are measured against. Needs no torch."""

from __future__ import annotations

import numpy as np

from dataset.labelled_pictures import LabelledPicture
from evaluation.instances import GroundTruth


def ground_truth(picture: LabelledPicture) -> GroundTruth:
    """Return a picture's annotated instances as the evaluation wants them."""
    return GroundTruth(
        picture_id=picture.digest,
        source=picture.source,
        height_px=picture.height_px,
        width_px=picture.width_px,
        class_indices=np.array([each.class_index for each in picture.instances], dtype=np.int64),
        masks=tuple(each.mask for each in picture.instances),
        is_crowd=np.array([each.is_crowd for each in picture.instances], dtype=bool),
    )
