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
    told = [(_tell_feature(one), _tell_share(one.share)) for one in farthest[:_MOST_FEATURES]]
    if not told:
        return []
    if len({share for _, share in told}) == 1:
        compared = f"{' and '.join(clause for clause, _ in told)} than {told[0][1]}"
    else:
        compared = " and ".join(f"{clause} than {share}" for clause, share in told)
    return [f"the picture {compared} of the champion's {num_held_out} held-out pictures"]


def _tell_feature(one: FarOut) -> str:
    if one.rises is None:
        return f"is more unusual in {one.feature.label}"
    return one.feature.higher if one.rises else one.feature.lower


def _tell_share(share: float) -> str:
    return "any" if share >= 1.0 else f"{int(100 * share)} %"


def _tell_uncertainty(uncertainty: Uncertainty, empty_share: float, class_names: Sequence[str]) -> list[str]:
    groups = uncertainty.groups
    if not groups and not uncertainty.num_scores:
        share = f"{100 * (1 - empty_share):.0f} %"
        return [f"the champion finds nothing in it, but something in {share} of its held-out pictures"]
    if not groups:
        doubtful = uncertainty.num_doubtful_scores
        finds = count(uncertainty.num_scores, "best find")
        return [f"the champion is unsure of {doubtful} of its {finds}"] if doubtful else []
    told = {
        "draws {} differently": [one for one in groups if one.spatial_certainty < _DIFFERING],
        "finds {} only sometimes": [one for one in groups if one.occurrence < 1.0],
        "doubts the class of {}": [one for one in groups if one.class_certainty < _UNSURE],
    }
    does = [verb.format(_tell_classes(some, groups, class_names)) for verb, some in told.items() if some]
    return [f"in altered copies of it, the champion {_join(does)}"] if does else []


def _tell_classes(some: Sequence[Group], groups: Sequence[Group], class_names: Sequence[str]) -> str:
    """Return how many of which: ``3 of 7 instances``, and ``of class nut`` if all three are of one class."""
    (index, _), *others = Counter(one.class_index for one in some).most_common()
    alike = groups if others else [one for one in groups if one.class_index == index]
    whose = "" if others else f" of class {class_names[index]}"
    if len(some) < len(alike):
        return f"{len(some)} of {count(len(alike), 'instance')}{whose}"
    return f"the only instance{whose}" if len(some) == 1 else f"all {len(some)} instances{whose}"


def _join(clauses: Sequence[str]) -> str:
    *first, last = clauses
    return f"{', '.join(first)} and {last}" if first else last


def _tell_need(name: str, need: ClassNeed) -> list[str]:
    if not name or need.need < _NEEDED:
        return []
    iou = f" and a mask IoU of {need.iou:.2f}" if need.iou is not None else ""
    return [f"it shows class {name}, which has {count(need.num_labelled, 'labelled instance')}{iou} so far"]
