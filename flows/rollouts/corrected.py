"""What a person said is in a picture, as the ground truth that models are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.instances import GroundTruth

if TYPE_CHECKING:
    from monitoring.samples.corrections import Correction


def truth_of(
    correction: Correction,
    class_names: Sequence[str],
    orientation: int,
    *,
    size_px: tuple[int, int],
) -> GroundTruth:
    """Turn a correction into the ground truth of the upright picture.

    Args:
        correction: With instances, in the picture as it was stored.
        class_names: What class indices count into; a class that is none of them matches nothing.
        orientation: The picture's EXIF orientation.
        size_px: The upright picture's height and width.
    """
    from dataset.pictures.orientation import orient_mask

    instances = correction.instances or ()
    masks = tuple(orient_mask(mask, orientation) for _, mask in instances)
    index_of = {name: index for index, name in enumerate(class_names)}
    return GroundTruth(
        picture_id=correction.sample_id,
        source="",
        height_px=size_px[0],
        width_px=size_px[1],
        class_indices=np.array([index_of.get(name, -1) for name, _ in instances], dtype=np.int64),
        masks=masks,
        is_crowd=np.zeros(len(masks), dtype=bool),
    )
