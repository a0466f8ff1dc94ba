"""The budget of a model-quality objective: the mask IoU on labels from production, and what is left. Pure.

Labels decide as soon as there are enough: those of pictures that were drawn at random if they are enough,
else all, many of which were chosen because they looked hard. Without labels the newest estimate that needs
none is used. The budget counts as spent only if the figure is below its target beyond sampling error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from maskloop.records.kinds import ClassQuality, QualityMeasured
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState
from maskloop.wording import count
from monitoring.slo.objective import Objective, find_objectives

Source = Literal["labels of pictures drawn at random", "labels", "an estimate without labels", ""]
_Z: Final = 1.6449
"""One side of 95 % of a normal distribution."""


@dataclass(frozen=True)
class Band:
    """A figure with its sampling error: ``low`` and ``high`` are each passed by with a chance of 5 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class QualityBudget:
    """How a champion keeps one objective of quality.

    Attributes:
        objective: What is promised.
        version: The champion.
        source: What the figure is from; empty if it is unknown.
        iou: The mean mask IoU over the critical classes, 0..1; None if it is unknown.
        classes: Mask IoU by class.
        num_instances: Labelled ones, or 0 for an estimate.
        measured_at: When the newest part of it was measured, UTC.
        missing: Why it is unknown.
    """

    objective: Objective
    version: str
    source: Source = ""
    iou: Band | None = None
    classes: Mapping[str, Band] = field(default_factory=dict)
    num_instances: int = 0
    measured_at: datetime | None = None
    missing: str = ""

    @property
    def left(self) -> float | None:
        """What is left of the budget: 1 is all, 0 none, below 0 more than all is used up; None if unknown."""
        return None if self.iou is None else 1.0 - (1.0 - self.iou.value) / self.objective.budget

    @property
    def is_spent(self) -> bool:
        """Tell whether the figure is below its target beyond sampling error."""
        return self.iou is not None and self.iou.high < self.objective.target

    @property
    def worst(self) -> tuple[str, float] | None:
        """The class with the lowest mask IoU."""
        named = ((name, band.value) for name, band in self.classes.items())
        return min(named, key=lambda one: one[1], default=None)

    def sentence(self) -> str:
        """Say where it stands."""
        if self.iou is None:
            return self.missing
        worst = f"; worst class: {self.worst[0]} ({self.worst[1]:.2f})" if self.worst else ""
        of = f" ({count(self.num_instances, 'instance')})" if self.num_instances else ""
        return (
            f"mean mask IoU {self.iou.value:.2f} ({self.iou.low:.2f} to {self.iou.high:.2f}), required "
            f"{self.objective.target:.2f}, by {self.source}{of}{worst}"
        )


def find_quality_budgets(state: LoopState, settings: Settings, now: datetime) -> tuple[QualityBudget, ...]:
    """Return the budget of every objective of quality; none without a champion.

    Raises:
        ConfigurationError: if two objectives have one name.
    """
    objectives = [one for one in find_objectives(settings) if one.indicator == "quality"]
    return tuple(_measure(one, state, settings, now) for one in objectives) if state.champion else ()


def spent_since(budget: QualityBudget, state: LoopState, settings: Settings) -> datetime | None:
    """Return the time of the measurement from which on a budget has been spent; None if it is not."""
    if not budget.is_spent:
        return None
    since, earlier = budget.measured_at, state.quality
    while earlier:
        at = earlier[-1][0]
        before = _by_labels(budget.objective, state, settings, at, earlier)
        if before is None or not before.is_spent:
            break
        since, earlier = at, earlier[:-1]
    return since


def class_iou(sums: Sequence[ClassQuality]) -> Band | None:
    """Return a class's mask IoU over several batches of labels; None below two pictures.

    The figure is a ratio of sums over pictures. Its standard error is that of a ratio estimator with pictures
    as clusters (Cochran, Sampling Techniques, 3rd edition, chapter 6.4, without the finite correction).
    """
    num_pictures = sum(one.num_pictures for one in sums)
    num_instances = sum(one.num_instances for one in sums)
    if num_pictures < 2 or not num_instances:
        return None
    ratio = sum(one.iou_sum for one in sums) / num_instances
    squares = sum(one.iou_sum_squared for one in sums)
    products = sum(one.iou_sum_by_instances for one in sums)
    residual = squares - 2 * ratio * products + ratio**2 * sum(one.instances_squared for one in sums)
    variance = num_pictures / (num_pictures - 1) * max(residual, 0.0) / num_instances**2
    error = _Z * math.sqrt(variance)
    return Band(ratio, max(ratio - error, 0.0), min(ratio + error, 1.0))


def _measure(one: Objective, state: LoopState, settings: Settings, now: datetime) -> QualityBudget:
    by_labels = _by_labels(one, state, settings, now, state.quality)
    return by_labels or _by_estimate(one, state, settings, now) or _unknown(one, state, now)


def _by_labels(
    one: Objective,
    state: LoopState,
    settings: Settings,
    now: datetime,
    measured: Sequence[tuple[datetime, QualityMeasured]],
) -> QualityBudget | None:
    recent = _recent(one, state, now, measured)
    random: Source = "labels of pictures drawn at random"
    for source, parts in ((random, "random_classes"), ("labels", "classes")):
        by_class: dict[str, list[ClassQuality]] = {}
        for _, record in recent:
            for part in getattr(record, parts):
                name = state.class_between(part.class_name, record.data_tag, state.data_tag)
                if name and _is_critical(name, settings):
                    by_class.setdefault(name, []).append(part)
        enough = {name: sums for name, sums in by_class.items() if _num_instances(sums) >= one.min_instances}
        bands = {name: band for name, sums in enough.items() if (band := class_iou(sums))}
        if bands:
            num = sum(_num_instances(enough[name]) for name in bands)
            return _budget(one, state, source, bands, num, recent[-1][0])
    return None


def _by_estimate(one: Objective, state: LoopState, settings: Settings, now: datetime) -> QualityBudget | None:
    champion = state.champion
    if state.last_drift is None or champion is None:
        return None
    at, judged = state.last_drift
    if judged.weights_digest != champion.weights_digest or at < now - timedelta(days=one.window_days):
        return None
    bands = {
        each.class_name: Band(each.value, each.low, each.high)
        for each in judged.estimates
        if each.metric == "mask_iou" and _is_critical(each.class_name, settings)
        if each.value is not None and each.low is not None and each.high is not None
    }
    return _budget(one, state, "an estimate without labels", bands, 0, at) if bands else None


def _unknown(one: Objective, state: LoopState, now: datetime) -> QualityBudget:
    recent = _recent(one, state, now, state.quality)
    most = max((_num_instances([part]) for _, record in recent for part in record.classes), default=0)
    have = f"the most of a class is {most}" if recent else "there is none"
    missing = (
        f"no class has {count(one.min_instances, 'labelled instance')} from production within "
        f"{one.window_days:g} days ({have}), and there is no estimate"
    )
    return QualityBudget(one, state.champion.version if state.champion else "", missing=missing)


def _recent(
    one: Objective,
    state: LoopState,
    now: datetime,
    measured: Sequence[tuple[datetime, QualityMeasured]],
) -> list[tuple[datetime, QualityMeasured]]:
    digest = state.champion.weights_digest if state.champion else ""
    begin = now - timedelta(days=one.window_days)
    return [each for each in measured if each[1].weights_digest == digest and begin < each[0] <= now]


def _budget(
    one: Objective,
    state: LoopState,
    source: Source,
    bands: Mapping[str, Band],
    num_instances: int,
    at: datetime,
) -> QualityBudget:
    """Average over the classes. Those of one picture fail together, so their errors are averaged too."""
    mean = Band(
        _mean(band.value for band in bands.values()),
        _mean(band.low for band in bands.values()),
        _mean(band.high for band in bands.values()),
    )
    version = state.champion.version if state.champion else ""
    return QualityBudget(one, version, source, mean, bands, num_instances, at)


def _is_critical(name: str, settings: Settings) -> bool:
    critical = settings.gates.critical_classes if settings.gates else ()
    return not critical or name in critical


def _num_instances(sums: Sequence[ClassQuality]) -> int:
    return sum(one.num_instances for one in sums)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
