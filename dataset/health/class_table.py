"""How many instances and pictures of each class every split has, how large they are, and what is amiss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset.labelled_pictures import SPLITS, LabelledPicture, Split
from maskloop.masks import areas_px
from maskloop.wording import count

FEW_INSTANCES: Final = 20
MAX_IMBALANCE: Final = 100.0
"""Instances of the most frequent class for one of the rarest, from which on the table says so."""


@dataclass(frozen=True)
class ClassRow:
    """What there is of one class, crowd regions left out.

    Attributes:
        name: The class.
        instances: In each split.
        pictures: In each split, those with an instance of the class.
        sizes: Instances by the number of edges of areas that they reach: small, medium, large.
    """

    name: str
    instances: Mapping[Split, int]
    pictures: Mapping[Split, int]
    sizes: tuple[int, ...]

    @property
    def total(self) -> int:
        """Instances in all splits."""
        return sum(self.instances.values())


@dataclass(frozen=True)
class ClassTable:
    """All classes, and the pictures without any instance."""

    rows: tuple[ClassRow, ...]
    num_empty: int

    def remarks(self) -> tuple[str, ...]:
        """Return sentences about classes that a model cannot learn or that cannot be judged."""
        splits = [split for split in SPLITS if any(row.instances[split] for row in self.rows)]
        said: list[str] = []
        for row in self.rows:
            lacking = [split for split in splits if not row.instances[split]]
            if not row.total:
                said.append(f"{row.name}: there are no instances; label some, or drop the class")
            elif lacking:
                said.append(
                    f"{row.name}: there are no instances in {' and '.join(lacking)}; label more pictures"
                )
            elif row.instances["train"] < FEW_INSTANCES:
                held = count(row.instances["train"], "instance")
                said.append(f"{row.name}: {held} for training; fewer than {FEW_INSTANCES} teach little")
        present = sorted((row for row in self.rows if row.total), key=lambda row: row.total)
        if present and present[-1].total > MAX_IMBALANCE * present[0].total:
            most, least = present[-1], present[0]
            said.append(f"{most.name} has {most.total} instances and {least.name} {least.total}")
        return tuple(said)


def tabulate_classes(
    pictures: Sequence[LabelledPicture], class_names: Sequence[str], *, size_edges_px: tuple[float, ...]
) -> ClassTable:
    """Count every class.

    Args:
        pictures: Of one version.
        class_names: In the order of class indices.
        size_edges_px: Areas, rising; an instance with at least that area belongs to the next size.
    """
    shape = (len(class_names), len(SPLITS))
    instances, seen_in = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    sizes = np.zeros((len(class_names), len(size_edges_px) + 1), np.int64)
    num_empty = 0
    for picture in pictures:
        singles = [one for one in picture.instances if not one.is_crowd]
        classes = np.array([one.class_index for one in singles], dtype=np.int64)
        steps = np.searchsorted(size_edges_px, areas_px([one.mask for one in singles]), side="right")
        split = SPLITS.index(picture.split)
        instances[:, split] += np.bincount(classes, minlength=len(class_names))
        seen_in[np.unique(classes), split] += 1
        np.add.at(sizes, (classes, steps), 1)
        num_empty += not picture.instances
    rows = [
        ClassRow(
            name,
            dict(zip(SPLITS, instances[index].tolist(), strict=True)),
            dict(zip(SPLITS, seen_in[index].tolist(), strict=True)),
            tuple(sizes[index].tolist()),
        )
        for index, name in enumerate(class_names)
    ]
    return ClassTable(tuple(rows), num_empty)
