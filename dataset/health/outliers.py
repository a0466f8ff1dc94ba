"""Instances whose size or shape is unlike the others of their class.

The modified z-score of B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers (1993): the distance
from the median, as a multiple of the median distance, times 0.6745; 3.5 is their limit. It is taken of
logarithms, so that an object of half the size is as far off as one of twice the size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import LabelledPicture
from maskloop.masks import areas_px, boxes_xyxy

MAX_Z: Final = 3.5
MIN_INSTANCES: Final = 20
"""A class with fewer has no usual size."""


@dataclass(frozen=True)
class Outlier:
    """One instance that is unlike the others of its class.

    Attributes:
        picture: That it is in.
        label: Its position among the picture's instances.
        measure: ``size`` (its share of the picture) or ``aspect`` (width by height of its box).
        value: What was measured.
        median: Of the class.
        z: The modified z-score, above `MAX_Z`.
    """

    picture: LabelledPicture
    label: int
    measure: Literal["size", "aspect"]
    value: float
    median: float
    z: float

    @property
    def score(self) -> float:
        """0 at the limit, towards 1 far beyond it."""
        return 1.0 - MAX_Z / self.z


def find_outliers(pictures: Sequence[LabelledPicture], num_classes: int) -> tuple[Outlier, ...]:
    """Return the outliers of every class, farthest first. Crowd regions and empty masks are left out.

    The picture's edge cuts objects, which makes them smaller and changes their shape: an object that touches
    the edge is an outlier only if it is too large, and does not count for the usual shape.
    """
    places: list[tuple[LabelledPicture, int]] = []
    parts = [np.zeros((0, 4))]
    for picture in pictures:
        masks = [one.mask for one in picture.instances]
        boxes, areas = boxes_xyxy(masks), areas_px(masks)
        kept = [label for label, one in enumerate(picture.instances) if not one.is_crowd and areas[label] > 0]
        sides = boxes[kept, 2:] - boxes[kept, :2]
        size_px = np.array([picture.width_px, picture.height_px])
        is_cut = (boxes[kept, :2] <= 0).any(axis=1) | (boxes[kept, 2:] >= size_px).any(axis=1)
        shares = areas[kept] / (picture.width_px * picture.height_px)
        classes = [picture.instances[label].class_index for label in kept]
        parts.append(np.column_stack([classes, shares, sides[:, 0] / sides[:, 1], is_cut]))
        places += [(picture, label) for label in kept]
    table = np.concatenate(parts)
    found: list[Outlier] = []
    measures: tuple[Literal["size", "aspect"], ...] = ("size", "aspect")
    for class_index in range(num_classes):
        for column, measure in enumerate(measures, start=1):
            of_class, is_whole = table[:, 0] == class_index, table[:, 3] == 0
            rows = np.flatnonzero(of_class & is_whole if measure == "aspect" else of_class)
            if len(rows) < MIN_INSTANCES:
                continue
            values = table[rows, column]
            z, median = modified_z(np.log(values)), float(np.median(values))
            for number in np.flatnonzero((z > MAX_Z) & (is_whole[rows] | (values > median))).tolist():
                picture, label = places[rows[number]]
                found.append(
                    Outlier(picture, label, measure, float(values[number]), median, float(z[number]))
                )
    return tuple(sorted(found, key=lambda one: (-one.z, one.picture.digest, one.label, one.measure)))


def modified_z(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far values, float64 (N,), are from their median; 0 for all if half of them are equal.

    >>> modified_z(np.array([1.0, 2.0, 3.0, 4.0, 15.0])).round(3).tolist()
    [1.349, 0.674, 0.0, 0.674, 8.094]
    """
    distances = np.abs(values - np.median(values))
    usual = float(np.median(distances))
    return 0.6745 * distances / usual if usual > 0 else np.zeros_like(distances)
