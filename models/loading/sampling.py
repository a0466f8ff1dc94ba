"""How often each training picture is drawn, and which pictures go into one batch. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from dataset.labelled_pictures import LabelledPicture

Orientation = Literal["wide", "tall"]


def repeat_factors(pictures: Sequence[LabelledPicture], threshold: float) -> dict[str, float]:
    """Return how often each picture is drawn a round so that rare classes are seen more often, by digest.

    A class in a share ``f`` of the pictures asks for ``max(1, sqrt(threshold / f))``, a picture for what its
    rarest class asks. A threshold of 0 asks for 1. From Gupta et al., "LVIS: A Dataset for Large Vocabulary
    Instance Segmentation", 2019, arXiv:1908.03195.
    """
    classes_of = {picture.digest: _classes_of(picture) for picture in pictures}
    counts = Counter(index for classes in classes_of.values() for index in classes)
    asked = {
        index: max(1.0, math.sqrt(threshold * len(classes_of) / count)) for index, count in counts.items()
    }
    return {
        digest: max((asked[each] for each in classes), default=1.0) for digest, classes in classes_of.items()
    }


def combine_repeats(factors: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    """Multiply repeat factors by the weights of single pictures, which count 1 where none is named."""
    return {digest: factor * weights.get(digest, 1.0) for digest, factor in factors.items()}


def orientations(pictures: Iterable[LabelledPicture]) -> dict[str, Orientation]:
    """Return for each digest whether the picture is wide (or square) or tall."""
    return {
        picture.digest: "wide" if picture.width_px >= picture.height_px else "tall" for picture in pictures
    }


def _classes_of(picture: LabelledPicture) -> set[int]:
    return {instance.class_index for instance in picture.instances if not instance.is_crowd}
