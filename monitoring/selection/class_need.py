"""How much more labels a class needs: it is rare in the labelled data, or the champion is bad at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ClassNeed:
    """One class beside the others.

    Attributes:
        need: 0..1; 0 for a class that has the most labels and the best IoU.
        num_labelled: Its labelled instances.
        iou: Its mask IoU at the gates, 0..1; None if it was not measured.
    """

    need: float
    num_labelled: int
    iou: float | None


def rate_classes(num_labelled: Mapping[str, int], iou: Mapping[str, float]) -> dict[str, ClassNeed]:
    """Return each class's need: ``1 - (labels / most labels) * (IoU / best IoU)``.

    Args:
        num_labelled: Labelled instances by class name.
        iou: Mask IoU at the gates by class name; one that is missing counts as the best.
    """
    most, best = max(num_labelled.values(), default=0), max(iou.values(), default=0.0)
    rated = {}
    for name, number in num_labelled.items():
        labelled = number / most if most else 1.0
        found = iou[name] / best if name in iou and best > 0.0 else 1.0
        rated[name] = ClassNeed(1.0 - labelled * found, number, iou.get(name))
    return rated


def most_needed(class_counts: Mapping[str, int], needs: Mapping[str, ClassNeed]) -> str:
    """Return the class with the largest need among those found in a picture; empty if none is known."""
    found = [name for name, number in class_counts.items() if number > 0 and name in needs]
    return max(found, key=lambda name: (needs[name].need, name), default="")
