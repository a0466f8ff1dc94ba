"""How a candidate's class mask IoU changed against the champion's, in all pictures and in each source. Pure.

One measurement for gates, terminal and approval page, so that one figure has one interval. The interval of a
drop (*champion minus candidate*) is made of two one-sided bootstrap bounds:

* the upper bound holds with ``gates.confidence``;
* the lower bound holds with that confidence for all drops of a verdict together (Bonferroni), because one
  certain drop is enough to fail.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.bootstrap import DropIntervals, paired_drop
from evaluation.instances import IouTable
from maskloop.records.kinds import Outcome
from maskloop.settings.workspace_settings import GateSettings
from registry.wording import signed

MEAN: Final = ""
"""In place of a class's name: the mean of all. No class of a data set is called so."""
SMALL_SOURCES: Final = "(small sources together)"
UPPER_BOUND_FACTOR: Final = 2
"""Times `max_class_iou_drop`, what the upper bound of a passing drop may be (docs/adr/0004-gates.md)."""


@dataclass(frozen=True)
class Drop:
    """One class, or the mean of all, in one group of pictures.

    Attributes:
        source: The group; empty for all pictures.
        name: Of the class; empty for the mean of all.
        candidate_iou: 0..1.
        champion_iou: 0..1, on the same pictures.
        drop: -1..1, champion minus candidate: above zero is worse. NaN if it is not defined.
        low: Lower bound.
        high: Upper bound.
        num_instances: Annotated non-crowd instances.
        num_pictures: Pictures with at least one of them.
        outcome: By the rule of docs/adr/0004-gates.md.
    """

    source: str
    name: str
    candidate_iou: float
    champion_iou: float
    drop: float
    low: float
    high: float
    num_instances: int
    num_pictures: int
    outcome: Outcome = "inconclusive"

    @property
    def is_mean(self) -> bool:
        """It is no class, but the mean of all."""
        return self.name == MEAN

    @property
    def is_known(self) -> bool:
        """Figure and bounds are numbers."""
        return all(math.isfinite(value) for value in (self.drop, self.low, self.high))


def measure_drops(
    candidate: IouTable, champion: IouTable, gates: GateSettings, *, seed: int
) -> tuple[Drop, ...]:
    """Return the mean's and each class's drop in all pictures, then in each source where there are several.

    Classes without instances in a group are left out there. Sources with fewer than ``gates.min_pictures``
    pictures are one group.

    Args:
        candidate: Measured on the same pictures, classes and annotations as ``champion``.
        champion: What serves.
        gates: The limit, confidence and resamples.
        seed: Of the bootstrap.
    """
    grouped = _with_small_sources_together(candidate, gates.min_pictures)
    sources = sorted(set(grouped)) if len(set(grouped)) > 1 else []
    num_drops = (1 + len(sources)) * (1 + len(candidate.class_names))
    groups = [("", candidate, champion)]
    for source in sources:
        ours, theirs = (
            replace(table, sources=grouped).only_source(source) for table in (candidate, champion)
        )
        groups.append((source, ours, theirs))
    return tuple(
        replace(drop, outcome=_judge_drop(drop, gates))
        for source, ours, theirs in groups
        for drop in _measure_group(source, ours, theirs, gates, seed=seed, num_drops=num_drops)
    )


def describe_change(drop: Drop) -> str:
    """Say how an IoU changed, with the interval, as candidate minus champion.

    >>> describe_change(Drop("belt 2", "nut", 0.71, 0.8, 0.09, 0.037, 0.131, 40, 24))
    'the IoU of nut on belt 2 fell by 0.090 (change between -0.131 and -0.037)'
    """
    what = "the mean IoU" if drop.is_mean else f"the IoU of {drop.name}"
    where = f" on {drop.source}" if drop.source else ""
    if not drop.is_known:
        return f"the change of {what}{where} is not known"
    bounds = f"(change between {signed(-drop.high)} and {signed(-drop.low)})"
    return f"{what}{where} {_rose_or_fell(drop.drop)} {bounds}"


def _rose_or_fell(drop: float) -> str:
    if drop == 0:
        return "did not change"
    return f"{'fell' if drop > 0 else 'rose'} by {amount(drop)}"


def amount(drop: float) -> str:
    """Write how much was lost or gained, without its sign.

    >>> amount(-0.0412), amount(0.0001)
    ('0.041', 'less than 0.001')
    """
    written = f"{abs(drop):.3f}"
    return "less than 0.001" if written == "0.000" else written


def allowance_in_words(limit: float) -> str:
    """Say what may be lost at most for a drop to pass.

    >>> allowance_in_words(0.05)
    'a loss passes up to 0.050 as measured and up to 0.100 at the lower end of the interval'
    """
    at_the_bound = UPPER_BOUND_FACTOR * limit
    return (
        f"a loss passes up to {limit:.3f} as measured and up to {at_the_bound:.3f} at the lower end of the "
        "interval"
    )


def _judge_drop(drop: Drop, gates: GateSettings) -> Outcome:
    limit = gates.max_class_iou_drop
    if not drop.is_known:
        return "inconclusive"
    is_within = drop.drop <= limit and drop.high <= UPPER_BOUND_FACTOR * limit
    if is_within and drop.num_pictures >= gates.min_pictures:
        return "pass"
    if drop.low > limit and drop.num_instances >= gates.min_instances:
        return "fail"
    return "inconclusive"


def _with_small_sources_together(table: IouTable, min_pictures: int) -> tuple[str, ...]:
    """Return each picture's group: its source, or one common name for all too small to judge alone."""
    count = Counter(table.sources)
    return tuple(source if count[source] >= min_pictures else SMALL_SOURCES for source in table.sources)


def _measure_group(
    source: str, candidate: IouTable, champion: IouTable, gates: GateSettings, *, seed: int, num_drops: int
) -> list[Drop]:
    """Return the drop of the mean and of each class that occurs, not judged yet."""

    def bounds_at(one_sided: float) -> DropIntervals:
        two_sided = 2 * one_sided - 1
        return paired_drop(candidate, champion, resamples=gates.resamples, confidence=two_sided, seed=seed)

    upper = bounds_at(gates.confidence)
    lower = bounds_at(1 - (1 - gates.confidence) / num_drops)
    ours, theirs = candidate.class_iou(), champion.class_iou()
    mean = Drop(
        source=source,
        name=MEAN,
        candidate_iou=_mean(ours),
        champion_iou=_mean(theirs),
        drop=upper.mean_drop,
        low=lower.mean_low,
        high=upper.mean_high,
        num_instances=int(upper.num_instances.sum()),
        num_pictures=len(candidate.picture_ids),
    )
    classes = [
        Drop(
            source=source,
            name=name,
            candidate_iou=float(ours[index]),
            champion_iou=float(theirs[index]),
            drop=float(upper.drop[index]),
            low=float(lower.low[index]),
            high=float(upper.high[index]),
            num_instances=int(upper.num_instances[index]),
            num_pictures=int(upper.num_pictures[index]),
        )
        for index, name in enumerate(upper.class_names)
        if upper.num_instances[index] > 0
    ]
    return [mean, *classes]


def _mean(class_iou: NDArray[np.float64]) -> float:
    known = class_iou[np.isfinite(class_iou)]
    return float(known.mean()) if known.size else math.nan
