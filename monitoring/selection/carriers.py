"""Which samples, features, classes, sources, hours and versions carry a drift alarm, and how much of it.

A sample's part is how far its figure (`attribute_drift`) lies above that of a picture in the middle of the
champion's own: in a quiet window such excesses are what chance leaves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from monitoring.drift.baseline import Baseline
from monitoring.drift.novelty import MIN_PICTURES, fit_novelty
from monitoring.drift.sources import JudgedSources
from monitoring.samples.values import Sample
from monitoring.samples.windows import Window
from monitoring.selection.attribution import UNKNOWN, attribute_drift
from monitoring.signals.feature_signal import FeatureSignal

MOST_CARRIERS: Final = 50
ENOUGH_PERCENT: Final = 80.0
_MOST_FEATURES: Final = 3


@dataclass(frozen=True)
class Carrier:
    """A sample that carries a part of an alarm.

    Attributes:
        sample_id: Of the sample.
        source: Where its picture came from.
        received_at: UTC, ISO 8601.
        model_version: That answered it.
        percent: Of the alarm, 0..100.
        features: In which it lies furthest out, the furthest first.
        nearest: Of the champion's own pictures the one most like it in the embedding, by digest; empty if
            that is unknown.
    """

    sample_id: str
    source: str
    received_at: str
    model_version: str
    percent: float
    features: tuple[str, ...]
    nearest: str = ""


@dataclass(frozen=True)
class Carriers:
    """What carries an alarm. All figures are percent of it, the largest first.

    Attributes:
        samples: The fewest that carry `ENOUGH_PERCENT` of it, at most `MOST_CARRIERS`.
        percent: That these carry together.
        num_samples: In which the alarm was raised.
        by_source: Of all samples.
        by_hour: By the hour of arrival, UTC.
        by_version: By the model version that answered.
        by_feature: By drifted signal.
        by_class: By class, of the signals that are about one.
        no_nearest: Why none of them has a nearest own picture; empty if any has.
    """

    samples: tuple[Carrier, ...]
    percent: float
    num_samples: int
    by_source: Mapping[str, float]
    by_hour: Mapping[str, float]
    by_version: Mapping[str, float]
    by_feature: Mapping[str, float]
    by_class: Mapping[str, float]
    no_nearest: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def find_carriers(
    signals: Sequence[FeatureSignal], baseline: Baseline, samples: Sequence[Sample]
) -> Carriers | None:
    """Return what carries the alarm of a verdict; None if no signal that can be attributed drifted.

    Args:
        signals: Of the verdict.
        baseline: The reference of that verdict.
        samples: In which the alarm was raised.
    """
    found = attribute_drift(signals, baseline, samples)
    if not found.features or not len(samples):
        return None
    parts_N = np.maximum(found.drift - UNKNOWN, 0.0)
    parts_N = 100.0 * parts_N / max(float(parts_N.sum()), 1e-12)
    order = sorted(range(len(samples)), key=lambda number: (-parts_N[number], samples[number].sample_id))
    reached = np.cumsum(parts_N[order])
    num = min(int(np.searchsorted(reached, ENOUGH_PERCENT - 1e-9)) + 1, MOST_CARRIERS, len(samples))
    names = [feature.name for feature in found.features]
    effect_of = {signal.name: signal.effect for signal in signals}
    excess_NF = np.maximum(np.nan_to_num(found.shares, nan=UNKNOWN) - UNKNOWN, 0.0)
    of_features = excess_NF.sum(axis=0) * [effect_of[name] for name in names]
    of_features = 100.0 * of_features / max(float(of_features.sum()), 1e-12)
    chosen = [number for number in order[:num] if parts_N[number] > 0.0]
    nearest, no_nearest = _find_nearest(baseline, [samples[number] for number in chosen])
    carriers = [
        Carrier(
            sample.sample_id,
            sample.source,
            sample.received_at.isoformat(timespec="seconds"),
            sample.model_version,
            round(float(parts_N[number]), 2),
            tuple(
                names[place]
                for place in np.argsort(-excess_NF[number], kind="stable")[:_MOST_FEATURES]
                if excess_NF[number, place] > 0.0
            ),
            digest,
        )
        for number, digest in zip(chosen, nearest, strict=True)
        for sample in (samples[number],)
    ]
    classes = [feature.class_name for feature in found.features]
    return Carriers(
        samples=tuple(carriers),
        percent=round(float(reached[num - 1]), 1),
        num_samples=len(samples),
        by_source=_added([one.source for one in samples], parts_N.tolist()),
        by_hour=_added([f"{one.received_at:%Y-%m-%d %H}:00" for one in samples], parts_N.tolist()),
        by_version=_added([one.model_version for one in samples], parts_N.tolist()),
        by_feature=_added(names, of_features.tolist()),
        by_class=_added(classes, of_features.tolist()),
        no_nearest=no_nearest,
    )


def find_carriers_of(found: JudgedSources, window: Window) -> Carriers | None:
    """Return what carries an alarm, in the sources that drifted or in all samples; None without an alarm.

    Args:
        found: The verdict about the window.
        window: That was judged.
    """
    closest = found.deciding
    if closest.verdict.outcome != "drift":
        return None
    sources = {one.source for one in found.drifted} or {sample.source for sample in window.samples}
    concerned = [sample for sample in window.samples if sample.source in sources]
    return find_carriers(closest.verdict.carrying, closest.baseline, concerned)


def _find_nearest(baseline: Baseline, samples: Sequence[Sample]) -> tuple[list[str], str]:
    """Return the digest of each sample's nearest own picture, empty for unknown; and why none is known."""
    nearest = [""] * len(samples)
    if not baseline.picture_digests.size:
        return nearest, "the champion's own pictures were measured before it was noted which is which"
    scorer = fit_novelty(baseline, out_of_distribution_percent=1.0)
    if scorer is None:
        return nearest, f"fewer than {MIN_PICTURES} of the champion's own pictures have an embedding"
    width = baseline.embeddings.shape[1]
    known = {
        number: sample.embedding
        for number, sample in enumerate(samples)
        if sample.embedding is not None and len(sample.embedding) == width
    }
    if not known:
        return nearest, "none of the samples has an embedding like the champion's"
    rows = scorer.find_nearest(np.array(list(known.values()), np.float32))
    for number, digest in zip(known, baseline.picture_digests[rows].tolist(), strict=True):
        nearest[number] = digest
    return nearest, ""


def _added(names: Sequence[str], parts: Sequence[float]) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for name, part in zip(names, parts, strict=True):
        if name and part > 0.0:
            total[name] += part
    return {name: round(part, 1) for name, part in sorted(total.items(), key=lambda one: (-one[1], one[0]))}
