"""What a class's instances look like inside their masks to the network: means over them in a picture.

They move when the material of a class changes although its masks and the pictures as a whole stay as they
are. One number by itself has no meaning; the answers of every model have their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from evaluation.instances import NUM_INSIDES
from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.feature import ClassFeature

_LOOKS_DIFFERENT: Final = "class {} looks different inside its masks"
_LOOKS_LESS_USUAL: Final = "looks less usual inside its masks of class {}"


def _measure(number: int) -> Callable[[AnsweredPicture, int], float | None]:
    def measure(seen: AnsweredPicture, class_index: int) -> float | None:
        insides = seen.detections.insides
        if insides is None:
            return None
        of_class = insides[seen.detections.class_indices == class_index, number]
        return float(of_class.mean(dtype="float64")) if of_class.size else None

    return measure


INSIDE_FEATURES: Final = tuple(
    ClassFeature(
        f"inside {number + 1} of ",
        "embedding",
        "instances",
        unit="",
        falls=_LOOKS_DIFFERENT,
        rises=_LOOKS_DIFFERENT,
        measure=_measure(number),
        lower=_LOOKS_LESS_USUAL,
        higher=_LOOKS_LESS_USUAL,
        shown_as=f"texture of {{}} no. {number + 1}",
    )
    for number in range(NUM_INSIDES)
)
