"""Why a picture is worth a label, in plain words with numbers, for the person who labels it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from maskloop.wording import count
from monitoring.features.feature import Feature
from monitoring.selection.class_need import ClassNeed
from monitoring.selection.uncertainty import Group, Uncertainty

AT_RANDOM: Final = "chosen at random, so that the estimate of quality stays unbiased"
FAR_OUT_SHARE: Final = 0.9
_MOST_FEATURES: Final = 2
_NEEDED: Final = 0.25
_DIFFERING: Final = 0.8
_UNSURE: Final = 0.65


@dataclass(frozen=True)
class FarOut:
    """How far out a picture lies in a feature that drifted.

    Attributes:
        feature: The feature.
        rises: Whether production moved to higher values; None where that cannot be told.
        share: 0..1, the share of the champion's held-out pictures that lie less far out.
    """

    feature: Feature
    rises: bool | None
    share: float


def tell_reason(
    uncertainty: Uncertainty,
    *,
    far_out: Sequence[FarOut],
    num_held_out: int,
    empty_share: float,
    needed_class: str,
    need: ClassNeed | None,
    class_names: Sequence[str],
) -> str:
    """Return the clauses that speak for a picture, separated by semicolons.

    Args:
        uncertainty: Of the champion about the picture.
        far_out: In the features that drifted.
        num_held_out: The number of the champion's held-out pictures.
        empty_share: 0..1, how often the champion finds nothing in those.
        needed_class: The class in it that needs labels most; empty if none does.
        need: Of that class.
        class_names: What class indices count into.
    """
    clauses = [
        *_tell_drift(far_out, num_held_out),
        *_tell_uncertainty(uncertainty, empty_share, class_names),
        *(_tell_need(needed_class, need) if need else ()),
    ]
    return "; ".join(clauses) or "one of the pictures that the champion is least sure about"


def _tell_drift(far_out: Sequence[FarOut], num_held_out: int) -> list[str]:
    farthest = sorted(
        (one for one in far_out if one.share >= FAR_OUT_SHARE),
        key=lambda one: (-one.share, one.feature.name),
    )
    clauses = [_tell_feature(one, num_held_out) for one in farthest[:_MOST_FEATURES]]
    return [f"{'it' if number else 'the picture'} {clause}" for number, clause in enumerate(clauses)]


def _tell_feature(one: FarOut, num_held_out: int) -> str:
    others = (
        f"any of the champion's {num_held_out} held-out pictures"
        if one.share >= 1.0
        else f"{int(100 * one.share)} % of the champion's held-out pictures"
    )
    if one.rises is None:
        return f"is more unusual in {one.feature.label} than {others}"
    return f"{one.feature.higher if one.rises else one.feature.lower} than {others}"


def _tell_uncertainty(uncertainty: Uncertainty, empty_share: float, class_names: Sequence[str]) -> list[str]:
    groups = uncertainty.groups
    if not groups and not uncertainty.num_scores:
        share = f"{100 * (1 - empty_share):.0f} %"
        return [f"the champion finds nothing in it, but something in {share} of its held-out pictures"]
    if not groups:
        doubtful = uncertainty.num_doubtful_scores
        finds = count(uncertainty.num_scores, "best find")
        return [f"the champion is unsure of {doubtful} of its {finds}"] if doubtful else []
    clauses = []
    if spatial := [one for one in groups if one.spatial_certainty < _DIFFERING]:
        told = _tell_classes(spatial, groups, class_names)
        clauses.append(f"the champion draws {told} differently in altered copies of the picture")
    if rare := [one for one in groups if one.occurrence < 1.0]:
        told = _tell_classes(rare, groups, class_names)
        clauses.append(f"the champion finds {told} in only some altered copies of the picture")
    if unsure := [one for one in groups if one.class_certainty < _UNSURE]:
        clauses.append(f"{_tell_classes(unsure, groups, class_names)} may be of another class")
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
    iou = f" and a mask IoU of {need.iou:.2f}" if need.iou is not None else ""
    return [f"it shows class {name}, which has {count(need.num_labelled, 'labelled instance')}{iou} so far"]
