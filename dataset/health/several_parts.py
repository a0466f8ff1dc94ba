"""Instances in several separated parts, in classes whose instances are otherwise in one part.

Such a label is often several objects in one annotation, which a detector that finds each object cannot match.
It is found from the masks alone, so also where every model has learned to find such objects from labels of
the same kind. Parts are of one object if no more than a slit is between them, or if other labelled instances
fill the gap and it is narrow beside the parts: those lie in front of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dataset.labelled_pictures import LabelledPicture
from maskloop.masks import areas_px, boxes_xyxy, crop_mask

MIN_RELATIVE_AREA: Final = 0.1
"""Area of a part, as a share of the largest, from which on it counts; smaller ones are specks."""
MAX_SLIT_PX: Final = 2
"""Parts that are no farther apart are one: thin things in front and rounding cut objects so."""
MAX_GAP: Final = 0.4
"""Widest gap, as a share of the side of a square with the largest part's area, that other instances fill.
Where these lie in front, gaps in the demo's pictures measured 0.4 or less in 56 of 60 instances; between
several car parts in one annotation 0.46 or more."""
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
        num_parts: Of comparable size: with at least `MIN_RELATIVE_AREA` of the largest one's area; those of
            one object count once.
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
            parts = comparable_parts(picture, label)
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


def comparable_parts(picture: LabelledPicture, label: int) -> NDArray[np.int64]:
    """Return the areas in px of an instance's parts of comparable size, int64 (P,), largest first.

    Pixels that touch at a corner are of one part, and so are parts of one object. An empty mask has none.
    """
    left, top, inside = crop_mask(picture.instances[label].mask)
    numbered, number = ndimage.label(inside, _TOUCHING)
    if number > 1:
        areas = _areas(numbered, inside)
        limit_px = MAX_GAP * float(np.sqrt(areas[0]))
        distances_px = ndimage.distance_transform_cdt(~inside, "chessboard")
        between = distances_px <= MAX_SLIT_PX // 2
        between |= (distances_px <= limit_px / 2) & _others(picture, label, left, top, inside.shape)
        numbered, _ = ndimage.label(inside | between, _TOUCHING)
    areas = _areas(numbered, inside)
    return areas[areas >= MIN_RELATIVE_AREA * areas[:1]]


def _areas(numbered: NDArray[np.integer], inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    areas = np.sort(np.bincount(numbered[inside]))[::-1]
    return areas[areas > 0].astype(np.int64)


def _others(
    picture: LabelledPicture, label: int, left: int, top: int, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return the pixels of a window that other instances cover, bool (h, w)."""
    covered = np.zeros(shape, dtype=bool)
    height, width = shape
    others = [one.mask for place, one in enumerate(picture.instances) if place != label and not one.is_crowd]
    for mask, box in zip(others, boxes_xyxy(others).astype(int).tolist(), strict=True):
        if box[0] < left + width and box[1] < top + height and box[2] > left and box[3] > top:
            _, _, pixels = crop_mask(mask)
            rows = slice(max(0, top - box[1]), top + height - box[1])
            columns = slice(max(0, left - box[0]), left + width - box[0])
            part = pixels[rows, columns]
            first_row, first_column = max(0, box[1] - top), max(0, box[0] - left)
            covered[first_row : first_row + part.shape[0], first_column : first_column + part.shape[1]] |= (
                part
            )
    return covered
