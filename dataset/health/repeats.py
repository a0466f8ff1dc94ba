"""Objects that were labelled twice in one picture: two masks that cover nearly the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset.labelled_pictures import LabelledPicture
from maskloop.masks import mask_iou

MIN_IOU: Final = 0.8
"""Two objects that hide each other overlap less; two drawings of one object overlap more."""


@dataclass(frozen=True)
class LabelledTwice:
    """Two labels of one object.

    Attributes:
        picture: That both are in.
        labels: Positions among its instances.
        iou: Of their masks, 0..1.
    """

    picture: LabelledPicture
    labels: tuple[int, int]
    iou: float


def find_labelled_twice(
    pictures: Sequence[LabelledPicture], *, min_iou: float = MIN_IOU
) -> tuple[LabelledTwice, ...]:
    """Return the pairs of instances of one picture that overlap nearly wholly, largest IoU first.

    Crowd regions are left out: objects may lie in one.
    """
    found: list[LabelledTwice] = []
    for picture in pictures:
        singles = [number for number, one in enumerate(picture.instances) if not one.is_crowd]
        masks = [picture.instances[number].mask for number in singles]
        iou = np.triu(mask_iou(masks, masks), k=1)
        found += [
            LabelledTwice(picture, (singles[one], singles[other]), float(iou[one, other]))
            for one, other in np.argwhere(iou >= min_iou).tolist()
        ]
    return tuple(sorted(found, key=lambda pair: (-pair.iou, pair.picture.digest, pair.labels)))
