"""Why a picture is worth a label, in plain words with numbers, for the person who labels it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from maskloop.wording import count
from monitoring.selection.class_need import ClassNeed
from monitoring.selection.uncertainty import Group, Uncertainty

AT_RANDOM: Final = "chosen at random, so that the estimate of quality stays unbiased"
FAR_OUT_SHARE: Final = 0.9
_MOST_FEATURES: Final = 2
_NEEDED: Final = 0.25
_DIFFERING: Final = 0.8
_UNSURE: Final = 0.65

FarOut = tuple[str, bool | None, float]
"""A feature's label, whether production moved to higher values, the share of own pictures less far out."""


def tell_reason(
    uncertainty: Uncertainty,
    *,
    far_out: Sequence[FarOut],
    num_own: int,
    empty_share: float,
    needed_class: str,
    need: ClassNeed | None,
    class_names: Sequence[str],
) -> str:
    """Return the clauses that speak for a picture, separated by semicolons.

    Args:
        uncertainty: Of the champion about the picture.
        far_out: In the features that drifted.
        num_own: The number of the champion's own pictures.
        empty_share: 0..1, how often the champion finds nothing in those.
        needed_class: The class in it that needs labels most; empty if none does.
        need: Of that class.
        class_names: What class indices count into.
    """
    clauses = [
        *_tell_drift(far_out, num_own),
        *_tell_uncertainty(uncertainty, empty_share, class_names),
        *(_tell_need(needed_class, need) if need else ()),
    ]
    return "; ".join(clauses) or "one of the least certain pictures of those that are left"


def _tell_drift(far_out: Sequence[FarOut], num_own: int) -> list[str]:
    farthest = sorted((one for one in far_out if one[2] >= FAR_OUT_SHARE), key=lambda one: (-one[2], one[0]))
    return [_tell_feature(*one, num_own) for one in farthest[:_MOST_FEATURES]]


def _tell_feature(label: str, rises: bool | None, share: float, num_own: int) -> str:
    whom = (
        f"any of the champion's {num_own} own pictures"
        if share >= 1.0
        else f"{int(100 * share)} % of the champion's own pictures"
    )
    if label == "embedding":
        return f"looks less familiar to the model than {whom}"
    if rises is None:
        return f"{label} is more unusual than in {whom}"
    return f"{label} is {'higher' if rises else 'lower'} than in {whom}"


def _tell_uncertainty(uncertainty: Uncertainty, empty_share: float, class_names: Sequence[str]) -> list[str]:
    groups = uncertainty.groups
    if not groups and not uncertainty.num_scores:
        share = f"{100 * (1 - empty_share):.0f} %"
        return [f"nothing is found, although {share} of the champion's own pictures hold something"]
    if not groups:
        doubtful = uncertainty.num_doubtful_scores
        return (
            [f"{doubtful} of the best {count(uncertainty.num_scores, 'score')} are doubtful"]
            if doubtful
            else []
        )
    clauses = []
    if spatial := [one for one in groups if one.spatial_certainty < _DIFFERING]:
        clauses.append(f"the masks of {_tell_classes(spatial, groups, class_names)} differ between views")
    if rare := [one for one in groups if one.occurrence < 1.0]:
        clauses.append(f"{_tell_classes(rare, groups, class_names)} are found in some views only")
    if unsure := [one for one in groups if one.class_certainty < _UNSURE]:
        clauses.append(f"the class of {_tell_classes(unsure, groups, class_names)} is unsure")
    return clauses


def _tell_classes(some: Sequence[Group], groups: Sequence[Group], class_names: Sequence[str]) -> str:
    """Return how many of which: ``3 of 7 instances`` or, if all are of one class, ``3 of 7 of class nut``."""
    (index, number), *others = Counter(one.class_index for one in some).most_common()
    if others:
        return f"{len(some)} of {count(len(groups), 'instance')}"
    of_class = sum(one.class_index == index for one in groups)
    return f"{number} of {count(of_class, 'instance')} of class {class_names[index]}"


def _tell_need(name: str, need: ClassNeed) -> list[str]:
    if not name or need.need < _NEEDED:
        return []
    iou = f" and an IoU of {need.iou:.2f} at the gates" if need.iou is not None else ""
    return [f"holds class {name}, which has {count(need.num_labelled, 'labelled instance')}{iou}"]
