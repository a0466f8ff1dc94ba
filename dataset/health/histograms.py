"""How many instances pictures have, how large these are, in bins that double, and examples of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import LabelledPicture
from maskloop.masks import areas_px

_EXAMPLES: Final = (("typical", 0.5), ("small", 0.1), ("large", 0.9))
"""What an example is, and the quantile of the areas of its class that it has."""


@dataclass(frozen=True)
class Bin:
    """One bar of a histogram.

    Attributes:
        low: The smallest value in it.
        high: The first value beyond it.
        number: How many values are in it.
    """

    low: int
    high: int
    number: int

    @property
    def name(self) -> str:
        """The values, as the axis of a chart says it.

        >>> Bin(0, 1, 5).name, Bin(4, 8, 5).name
        ('0', '4-7')
        """
        return str(self.low) if self.high == self.low + 1 else f"{self.low}-{self.high - 1}"


@dataclass(frozen=True)
class InstanceTable:
    """Every instance that is no crowd region and not empty, N of them.

    Attributes:
        num_pictures: With and without instances.
        rows: Position of its picture, int64 (N,).
        labels: Its position among the picture's instances, int64 (N,).
        classes: Class index, int64 (N,).
        areas_px: Area, int64 (N,).
        shares: Of the picture that it covers, float64 (N,).
    """

    num_pictures: int
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    areas_px: NDArray[np.int64]
    shares: NDArray[np.float64]

    @property
    def extents_px(self) -> NDArray[np.float64]:
        """Side of a square as large as each instance, float64 (N,)."""
        return np.sqrt(self.areas_px.astype(np.float64))


@dataclass(frozen=True)
class Example:
    """An instance to look at.

    Attributes:
        class_index: Its class.
        row: Position of its picture.
        label: Its position among the picture's instances.
        said: ``typical``, ``small`` or ``large`` for its class.
    """

    class_index: int
    row: int
    label: int
    said: str


def tabulate_instances(pictures: Sequence[LabelledPicture]) -> InstanceTable:
    """Measure every instance."""
    parts = [np.zeros((0, 4), dtype=np.int64)]
    shares = [np.zeros(0)]
    for row, picture in enumerate(pictures):
        areas = areas_px([one.mask for one in picture.instances])
        classes = np.array([one.class_index for one in picture.instances], dtype=np.int64)
        is_crowd = np.array([one.is_crowd for one in picture.instances], dtype=bool)
        kept = np.flatnonzero(~is_crowd & (areas > 0))
        parts.append(np.column_stack([np.full(len(kept), row), kept, classes[kept], areas[kept]]))
        shares.append(areas[kept] / (picture.width_px * picture.height_px))
    rows, labels, classes, areas = np.concatenate(parts).T
    return InstanceTable(len(pictures), rows, labels, classes, areas, np.concatenate(shares))


def count_instances_of_pictures(table: InstanceTable) -> tuple[Bin, ...]:
    """Count pictures by their number of instances."""
    return count_doubling(np.bincount(table.rows, minlength=table.num_pictures).astype(np.int64))


def count_extents(table: InstanceTable) -> tuple[Bin, ...]:
    """Count instances by the side of a square as large, in whole px."""
    return count_doubling(np.floor(table.extents_px).astype(np.int64))


def count_doubling(values: NDArray[np.int64]) -> tuple[Bin, ...]:
    """Count whole numbers, int64 (N,), in the bins 0, 1, 2-3, 4-7, ... from the first that has some.

    >>> [(one.name, one.number) for one in count_doubling(np.array([1, 3, 3, 9]))]
    [('1', 1), ('2-3', 2), ('4-7', 0), ('8-15', 1)]
    """
    if not len(values):
        return ()
    places = np.frexp(values.astype(np.float64))[1]  # of v = m 2^e with m in [0.5, 1): e; 0 for 0
    counts = np.bincount(places).tolist()
    return tuple(
        Bin(2 ** (place - 1) if place else 0, 2**place, number)
        for place, number in enumerate(counts)
        if place >= int(places.min())
    )


def choose_examples(table: InstanceTable, num_classes: int, *, most: int) -> tuple[Example, ...]:
    """Choose instances of every class to look at: one of the median size, a small one and a large one.

    Args:
        table: All instances.
        num_classes: Class indices are below it.
        most: Examples in all. Many classes get fewer of each; with more classes than that the first have one.
    """
    chosen: list[Example] = []
    each = min(len(_EXAMPLES), max(1, most // max(1, num_classes)))
    order = np.lexsort((table.labels, table.rows, table.shares, table.classes))
    starts = np.searchsorted(table.classes[order], np.arange(num_classes + 1))
    for class_index in range(num_classes):
        of_class = order[starts[class_index] : starts[class_index + 1]]
        places = [(said, int(quantile * (len(of_class) - 1))) for said, quantile in _EXAMPLES[:each]]
        different = {of_class[place]: said for said, place in reversed(places)} if len(of_class) else {}
        chosen += [
            Example(class_index, int(table.rows[number]), int(table.labels[number]), said)
            for number, said in reversed(different.items())
        ]
    return tuple(chosen[:most])
