"""Single objects that an export marked as crowd regions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

import numpy as np

from dataset.bends.evidence import Batch, Evidence, Finding, finding_of
from dataset.coco.listing import ReadAnnotation
from maskloop.masks import crop_mask
from maskloop.wording import count

_LEAST_ORDINARY: Final = 2
_MOST_LOOKED_AT: Final = 2000


def find_classes_of_crowds(evidence: Evidence) -> Finding | None:
    """Find classes in which every annotation is a crowd region, unless a person said what they are."""
    if evidence.reading.crowds != "ask":
        return None
    objects = {one.instance.class_index for one in evidence.annotations if not one.instance.is_crowd}
    affected = [
        one
        for one in evidence.annotations
        if one.instance.is_crowd and one.instance.class_index not in objects
    ]
    if not affected:
        return None
    message = (
        f"all annotations of some classes are crowd regions: {_per_class(affected, evidence.class_names)}"
    )
    return finding_of(message, affected)


def find_crowds_by_shape(evidence: Evidence) -> Finding | None:
    """Find batches in which exactly the masks with a hole or several parts are crowd regions.

    Classes of crowd regions alone are left to `find_classes_of_crowds`.
    """
    if evidence.reading.crowds != "ask":
        return None
    crowds = [one for one in evidence.annotations if one.instance.is_crowd]
    ordinary = [one for one in evidence.annotations if not one.instance.is_crowd]
    if not crowds or len(ordinary) < _LEAST_ORDINARY:
        return None
    if not {one.instance.class_index for one in crowds} <= {one.instance.class_index for one in ordinary}:
        return None
    if not all(map(is_pierced_or_split, crowds[:_MOST_LOOKED_AT])):
        return None
    if any(map(is_pierced_or_split, ordinary[:_MOST_LOOKED_AT])):
        return None
    message = (
        f"{count(len(crowds), 'mask')} with a hole or several parts are crowd regions, and none of the "
        f"{len(ordinary)} others: {_per_class(crowds, evidence.class_names)}"
    )
    return finding_of(message, crowds)


def read_crowds_as_objects(batch: Batch, _finding: Finding) -> Batch:
    """Read each crowd region as one object, as ``--crowds-are-instances`` does."""
    return replace(batch, reading=replace(batch.reading, crowds="instances"))


def is_pierced_or_split(annotation: ReadAnnotation) -> bool:
    """Say whether a mask has a hole or more than one part; pixels that touch at a corner are one part."""
    from scipy.ndimage import label  # 0.5 s of imports, only where there are crowds

    *_, pixels = crop_mask(annotation.instance.mask)
    if pixels.all():
        return False
    _, num_parts = label(pixels, structure=np.ones((3, 3)))
    _, num_outside = label(~np.pad(pixels, 1))
    return bool(num_parts > 1 or num_outside > 1)


def _per_class(crowds: list[ReadAnnotation], class_names: tuple[str, ...]) -> str:
    counts = Counter(one.instance.class_index for one in crowds)
    return ", ".join(f"{class_names[index]!r} {number}" for index, number in sorted(counts.items()))
