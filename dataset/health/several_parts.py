"""Instances in several separated parts, in classes whose instances are otherwise in one part.

Such a label is often several objects in one annotation, which a detector that finds each object cannot match,
and sometimes one object with another in front of it. It is found from the mask alone, so also where every
model has learned to find such objects from labels of the same kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dataset.labelled_pictures import LabelledPicture
from maskloop.masks import Rle, areas_px, crop_mask

MIN_RELATIVE_AREA: Final = 0.1
"""Area of a part, as a share of the largest, from which on it counts; smaller ones are specks."""
MIN_ONE_PART: Final = 20
"""A class with fewer instances in one part has no usual number of parts."""
MAX_SHARE: Final = 2 / 3
"""Where more of a class's instances are in several parts, that is what its objects look like."""
_TOUCHING: Final = np.ones((3, 3), dtype=int)


@dataclass(frozen=True)
class SeveralParts:
    """One instance in several parts.

    Attributes:
        picture: That it is in.
        label: Its position among the picture's instances.
        num_parts: Of comparable size: with at least `MIN_RELATIVE_AREA` of the largest one's area.
        relative_area: Of the second largest part, as a share of the largest, 0..1.
        share: Of the instances of its class that are in several parts, 0..1.
    """

    picture: LabelledPicture
    label: int
    num_parts: int
    relative_area: float
    share: float

    @property
    def score(self) -> float:
        """Towards 1 where the parts are of one size and the class has hardly any other such instance."""
        return self.relative_area * (1.0 - self.share)


def find_several_parts(pictures: Sequence[LabelledPicture], num_classes: int) -> tuple[SeveralParts, ...]:
    """Return the instances in several parts, the oddest for their class first.

    Crowd regions and empty masks are left out. A class is left out too if fewer than `MIN_ONE_PART` of its
    instances are in one part, or more than `MAX_SHARE` in several.

    Args:
        pictures: Of one version.
        num_classes: Class indices are below it.
    """
    num_whole, num_apart = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
    apart: list[tuple[LabelledPicture, int, NDArray[np.int64]]] = []
    for picture in pictures:
        areas = areas_px([one.mask for one in picture.instances])
        for label, one in enumerate(picture.instances):
            if one.is_crowd or areas[label] == 0:
                continue
            parts = comparable_parts(one.mask)
            if len(parts) > 1:
                apart.append((picture, label, parts))
                num_apart[one.class_index] += 1
            else:
                num_whole[one.class_index] += 1
    shares = num_apart / np.maximum(num_apart + num_whole, 1)
    is_odd = (num_whole >= MIN_ONE_PART) & (shares <= MAX_SHARE)
    found = [
        SeveralParts(picture, label, len(parts), float(parts[1] / parts[0]), float(shares[index]))
        for picture, label, parts in apart
        if is_odd[index := picture.instances[label].class_index]
    ]
    return tuple(sorted(found, key=lambda one: (-one.score, one.picture.digest, one.label)))


def comparable_parts(mask: Rle) -> NDArray[np.int64]:
    """Return the areas in px of a mask's parts of comparable size, int64 (P,), largest first.

    Pixels that touch at a corner are of one part. An empty mask has none.
    """
    numbered, number = ndimage.label(crop_mask(mask)[2], _TOUCHING)
    areas = np.sort(np.bincount(numbered.ravel(), minlength=number + 1)[1:])[::-1]
    return areas[areas >= MIN_RELATIVE_AREA * areas[:1]].astype(np.int64)
