"""The drift verdict: pure, with a false alarm rate that holds at any window size.

A window drifts when at least ``min_drifted_features`` signals, of the pictures as a whole or of the masks of
one class, are both certain (corrected for all of them together, see `families`) and large (an effect of at
least ``min_effect``), or when a part of the pictures, of at least ``min_new_share``, is unlike all others.
The correction keeps the chance of any certain signal in a quiet window at or below ``false_alarm_rate``; the
rest only makes alarms rarer. What could not be measured never counts as quiet; a class whose masks cannot be
judged is named, and the window is judged without them.

A quiet window is one whose scenes are drawn independently from the same distribution as the baseline's.
Pictures of one scene, or taken in a row, are not independent: one sample of each scene is judged (`scenes`),
and a window of too few scenes is inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from maskloop.digest import digest_value
from maskloop.settings.workspace_settings import MonitoringSettings
from maskloop.wording import count
from monitoring.drift.baseline import Baseline, feature_matrix
from monitoring.drift.class_mix import explain_by_mix
from monitoring.drift.comparison import measure_joint_effect, measure_spread
from monitoring.drift.families import (
    MAX_DETECTABLE_EFFECT,
    ClassVerdict,
    Families,
    NewcomersVerdict,
    divide_features,
    judge_classes,
    judge_newcomers,
    judge_pictures,
    tell_unjudged,
)
from monitoring.drift.families import Outcome as Outcome
from monitoring.drift.scenes import Scenes, find_scenes
from monitoring.features.feature import FeatureTable
from monitoring.features.table import FEATURES
from monitoring.samples.values import Sample
from monitoring.samples.windows import Window
from monitoring.signals.causes import likely_cause
from monitoring.signals.evidence import weigh_evidence
from monitoring.signals.feature_signal import FeatureSignal as FeatureSignal
from monitoring.signals.two_sample import detectable_distance, ordinary_effect

METHOD: Final = "scenes-families-ks-energy-newcomers-places/6"
SCENE_SHARE: Final = 0.9
"""A window needs so many scenes as a share of ``min_window_samples``: a few pictures look alike by chance."""

MIN_UNMISTAKABLE_SCENES: Final = 15
UNMISTAKABLE_EFFECT: Final = 0.9
"""A window of fewer scenes than it needs is drift if one of the signals that drifted has such an effect:
another camera, and not another place. Pictures of one walk, or of ten scenes, stayed below it."""
UNSEEN_SPACING: Final = 7.0
"""Dependence up to which so many scenes count as one may go unseen in a window: a slow walk. An effect counts
only above what chance gives between the champion's own scenes and a seventh as many as the window's: 0.52 for
50 scenes and 150 of the champion's own, ``min_effect`` from 170 scenes on."""
NARROW_SPREAD: Final = 0.6
"""Few scenes that lie so much closer together than the champion's own are of one place, unless what drifted
is unmistakable. Independent windows of 50 spread 0.66 times as far or more, changed cameras 0.58 or more."""

MIN_NEWCOMERS_SCENES: Final = 100
"""In a window of fewer, or where more than a tenth of the samples show a scene again, one place that was
photographed several times is a part that is unlike all others, too."""


@dataclass(frozen=True)
class DriftVerdict:
    """One judged window.

    Attributes:
        outcome: ``drift``, ``quiet`` or ``inconclusive``.
        reason: One sentence, with the numbers.
        cause: What moved most, in plain words; empty unless the outcome is ``drift``.
        window_id: Of the window.
        weights_digest: Of the champion.
        baseline_digest: Of the baseline.
        threshold_digest: Of the method and all settings that entered.
        num_samples: In the window.
        num_reference: In the baseline.
        missing_percent: Of the feature with the largest share of missing values.
        detectable_effect: Smallest effect that could have been certain here, 0..1.
        num_drifted: Signals that drifted.
        min_drifted_features: Signals that had to.
        signals: The largest effect first.
        num_scenes: About so many scenes are in the window; one sample of each was judged.
        num_reference_scenes: In the baseline, the same.
        classes: What was found in each class's masks; none for a baseline from before they were measured.
        is_mix: A new mix of classes explains the whole drift.
        newcomers: What was found of pictures that are unlike all others; None if that could not be asked.
        may_be_place: What drifted is no larger than what pictures of one place may show: inconclusive.
    """

    outcome: Outcome
    reason: str
    cause: str
    window_id: str
    weights_digest: str
    baseline_digest: str
    threshold_digest: str
    num_samples: int
    num_reference: int
    missing_percent: float
    detectable_effect: float
    num_drifted: int
    min_drifted_features: int
    signals: tuple[FeatureSignal, ...]
    num_scenes: int
    num_reference_scenes: int
    classes: tuple[ClassVerdict, ...] = ()
    is_mix: bool = False
    newcomers: NewcomersVerdict | None = None
    may_be_place: bool = False

    @property
    def carrying(self) -> tuple[FeatureSignal, ...]:
        """The signals that tell which samples carry the alarm: of the newcomers, where only they drifted."""
        if self.newcomers and self.newcomers.drifted and not any(one.drifted for one in self.signals):
            return self.newcomers.signals
        return self.signals


def judge_drift(
    baseline: Baseline,
    window: Window,
    settings: MonitoringSettings,
    *,
    seed: int = 0,
    table: FeatureTable = FEATURES,
    scenes: Scenes | None = None,
) -> DriftVerdict:
    """Compare a window with the champion's baseline.

    Args:
        baseline: Of the champion.
        window: Of the champion's newest samples.
        settings: Thresholds.
        seed: For the permutations of the embedding test; the same seed gives the same verdict.
        table: Says what a feature of the baseline is about. Features it does not name are passed over.
        scenes: Of the window, where they are known already.
    """
    families = divide_features(baseline, table)
    found = scenes or find_scenes(window.samples, baseline)
    refusal = _why_not_comparable(baseline, window, settings, families)
    too_few = "" if refusal else _tell_too_few(len(window.samples), found.num_scenes, settings)
    judged = tuple(window.samples[position] for position in found.positions)
    found_in = _Judged()
    if not refusal:
        found_in, too_few = _judge_families(baseline, families, window, judged, settings, too_few, seed=seed)
    of_pictures, classes, newcomers = found_in.of_pictures, found_in.classes, found_in.newcomers
    signals = sorted([*of_pictures, *found_in.of_masks], key=lambda signal: (-signal.effect, signal.name))
    detectable = _detectable_effect(baseline, found.num_scenes, settings, families)
    outcome, reason = _decide(refusal or too_few, of_pictures, classes, newcomers, detectable, settings)
    doubt = _doubt(baseline, families, judged, found_in, settings, seed=seed) if outcome == "drift" else ""
    if doubt:
        outcome, reason = "inconclusive", f"{reason}; {doubt}"
    cause = likely_cause(signals, _weigh(baseline, families, judged)) if outcome == "drift" else ""
    if newcomers and newcomers.drifted and not cause:
        cause = f"a part of the pictures is new: {likely_cause(newcomers.signals)}"
    if mix := explain_by_mix(baseline, judged, signals, classes, settings) if outcome == "drift" else "":
        reason = f"{mix}; each class's masks are as they were, and the mix explains the rest: {reason}"
    return DriftVerdict(
        outcome=outcome,
        reason=reason,
        cause=mix or cause,
        window_id=window.window_id,
        weights_digest=window.weights_digest,
        baseline_digest=baseline.digest,
        threshold_digest=threshold_digest(settings),
        num_samples=len(window.samples),
        num_reference=baseline.num_samples,
        missing_percent=max((signal.missing_percent for signal in of_pictures), default=0.0),
        detectable_effect=detectable,
        num_drifted=sum(signal.drifted for signal in signals),
        min_drifted_features=settings.min_drifted_features,
        signals=tuple(signals),
        num_scenes=found.num_scenes,
        num_reference_scenes=len(baseline.scene_values),
        classes=classes,
        is_mix=bool(mix),
        newcomers=newcomers,
        may_be_place=bool(doubt),
    )


@dataclass(frozen=True)
class _Judged:
    """What was found in each family; nothing where nothing could be judged."""

    of_pictures: Sequence[FeatureSignal] = ()
    of_masks: Sequence[FeatureSignal] = ()
    classes: tuple[ClassVerdict, ...] = ()
    newcomers: NewcomersVerdict | None = None


def _judge_families(
    baseline: Baseline,
    families: Families,
    window: Window,
    judged: Sequence[Sample],
    settings: MonitoringSettings,
    too_few: str,
    *,
    seed: int,
) -> tuple[_Judged, str]:
    """Judge one sample of each scene. With too few scenes only what is unmistakable counts.

    Returns:
        What was found, and why the scenes are too few; empty if they are not, or need not be more.
    """
    if too_few and len(judged) < MIN_UNMISTAKABLE_SCENES:
        return _Judged(), too_few
    of_pictures = judge_pictures(baseline, families, window.samples, judged, settings, seed=seed)
    if too_few:
        is_clear = _is_unmistakable(of_pictures, settings)
        return (_Judged(of_pictures), "") if is_clear else (_Judged(), too_few)
    of_masks, classes = judge_classes(baseline, families, window.samples, judged, settings)
    newcomers = None
    if len(judged) >= max(MIN_NEWCOMERS_SCENES, SCENE_SHARE * len(window.samples)):
        newcomers = judge_newcomers(baseline, families, judged, settings, seed=seed)
    return _Judged(of_pictures, of_masks, classes, newcomers), ""


def min_scenes(settings: MonitoringSettings) -> int:
    """Return the fewest scenes that a verdict needs."""
    return math.ceil(SCENE_SHARE * settings.min_window_samples)


def waits_for_scenes(verdict: DriftVerdict, settings: MonitoringSettings) -> bool:
    """Say whether a window's samples are judged again with later ones.

    They show too few scenes so far, or what drifted may be one place.
    """
    is_large = verdict.num_samples >= settings.min_window_samples
    has_too_few = is_large and verdict.num_scenes < min_scenes(settings)
    is_open = verdict.may_be_place or (verdict.outcome == "inconclusive" and has_too_few)
    return is_open and verdict.num_samples < settings.window_samples


def threshold_digest(settings: MonitoringSettings) -> str:
    """Return a digest of the method and of every setting a verdict depends on."""
    names = ("min_window_samples", "false_alarm_rate", "min_effect", "min_drifted_features", "min_new_share")
    values = {name: getattr(settings, name) for name in (*names, "max_missing_percent")}
    return digest_value(values | {"method": METHOD, "max_detectable_effect": MAX_DETECTABLE_EFFECT})


def _why_not_comparable(
    baseline: Baseline, window: Window, settings: MonitoringSettings, families: Families
) -> str:
    """Return why these two cannot be compared at all, or an empty string."""
    digests = {window.weights_digest, *(sample.weights_digest for sample in window.samples)}
    if digests != {baseline.weights_digest}:
        return "the baseline belongs to other weights than the ones that answered these samples"
    if len(window.samples) < settings.min_window_samples:
        return (
            f"{count(len(window.samples), 'sample')} came, and a verdict needs {settings.min_window_samples}"
        )
    if not len(families.pictures) + len(families.counts):
        return "the baseline has no features"
    return ""


def _is_unmistakable(of_pictures: Sequence[FeatureSignal], settings: MonitoringSettings) -> bool:
    """Say whether pictures have so little in common with the champion's own that few scenes suffice."""
    effects = [one.effect for one in of_pictures if one.drifted]
    return len(effects) >= settings.min_drifted_features and max(effects) >= UNMISTAKABLE_EFFECT


def _tell_too_few(num_samples: int, num_scenes: int, settings: MonitoringSettings) -> str:
    """Say that a window shows too few scenes, and what to do; nothing if it does not."""
    if num_scenes >= min_scenes(settings):
        return ""
    num_wanted = math.ceil(min_scenes(settings) * num_samples / num_scenes)
    remedy = f"about {num_wanted} samples like these would do"
    if num_wanted > settings.window_samples:
        remedy += f"; monitoring.window_samples is {settings.window_samples}"
    return (
        f"{count(num_samples, 'sample')}, about {count(num_scenes, 'scene')}, and a verdict needs"
        f" {min_scenes(settings)} scenes: {remedy}"
    )


def _doubt(
    baseline: Baseline,
    families: Families,
    judged: Sequence[Sample],
    found: _Judged,
    settings: MonitoringSettings,
    *,
    seed: int,
) -> str:
    """Say that what drifted may be one place; nothing if it is too large for that, in one signal or together.

    Newcomers are asked for among many scenes only, and windows of few scenes only for what is unmistakable.
    """
    if (found.newcomers and found.newcomers.drifted) or len(judged) < min_scenes(settings):
        return ""
    needed = ordinary_effect(len(baseline.scene_values), len(judged) / UNSEEN_SPACING)
    if measure_spread(baseline, judged) < NARROW_SPREAD:
        needed = max(needed, UNMISTAKABLE_EFFECT)
    largest = max(one.effect for one in [*found.of_pictures, *found.of_masks] if one.drifted)
    if needed <= settings.min_effect or largest >= needed:
        return ""
    together = measure_joint_effect(baseline, families.properties, judged, seed=seed)
    if together >= needed:
        return ""
    return (
        f"{count(len(judged), 'scene')} of one place can differ as much: the effect is {together:.2f} in all"
        f" properties together, {needed:.2f} is needed, less with more scenes"
    )


def _decide(
    refusal: str,
    of_pictures: Sequence[FeatureSignal],
    classes: Sequence[ClassVerdict],
    newcomers: NewcomersVerdict | None,
    detectable: float,
    settings: MonitoringSettings,
) -> tuple[Outcome, str]:
    if refusal:
        return "inconclusive", refusal
    num_drifted, required = sum(signal.drifted for signal in of_pictures), settings.min_drifted_features
    wanted = "1 is" if required == 1 else f"{required} are"
    share = f"{num_drifted} of {count(len(of_pictures), 'signal')} drifted, {wanted} required"
    unjudged = tell_unjudged(classes)
    besides = f"; {unjudged}" if unjudged else ""
    drifted = [one for one in classes if one.outcome == "drift"]
    has_newcomers = newcomers is not None and newcomers.drifted
    if num_drifted >= required or drifted or has_newcomers:
        return "drift", f"{_tell_drift(share, of_pictures, drifted, newcomers, required)}{besides}"
    missing = [signal for signal in of_pictures if signal.missing_percent > settings.max_missing_percent]
    if missing:
        worst = max(missing, key=lambda signal: signal.missing_percent)
        return "inconclusive", (
            f"{worst.feature.label} is missing in {worst.missing_percent:.0f} % of the samples,"
            f" at most {settings.max_missing_percent:.0f} % are accepted"
        )
    if detectable > MAX_DETECTABLE_EFFECT:
        return "inconclusive", (
            f"with so few samples even a change with an effect of {MAX_DETECTABLE_EFFECT} could be missed"
        )
    return (
        "quiet",
        f"{share}; a change with an effect of {detectable:.2f} or more would have been found{besides}",
    )


def _weigh(baseline: Baseline, families: Families, judged: Sequence[Sample]) -> dict[str, float]:
    """Return how much speaks for each property of the pictures being the cause."""
    columns = {one.name: column for column, one in families.pictures.items() if one.needs == "picture"}
    current = feature_matrix(judged, tuple(columns))
    return weigh_evidence(
        {name: baseline.scene_values[:, column] for name, column in columns.items()},
        {name: current[:, number] for number, name in enumerate(columns)},
    )


def _tell_drift(
    share: str,
    of_pictures: Sequence[FeatureSignal],
    classes: Sequence[ClassVerdict],
    newcomers: NewcomersVerdict | None,
    required: int,
) -> str:
    told = []
    largest = max((one for one in of_pictures if one.drifted), key=lambda one: one.effect, default=None)
    if largest and sum(one.drifted for one in of_pictures) >= required:
        told.append(f"{share}; the largest effect is {largest.effect:.2f} in {largest.feature.label}")
    told += [f"masks of class {one.class_name}: {one.reason}" for one in classes]
    if newcomers and newcomers.drifted:
        told.append(f"about {newcomers.share:.0%} of the pictures are unlike the champion's own")
    return "; ".join(told)


def _detectable_effect(
    baseline: Baseline, num_scenes: int, settings: MonitoringSettings, families: Families
) -> float:
    num_signals = len(families.pictures) + bool(len(baseline.embeddings))
    p_value = settings.false_alarm_rate * families.parts["pictures"] / max(1, num_signals)
    distance = detectable_distance(len(baseline.scene_values), num_scenes, p_value)
    return min(1.0, max(settings.min_effect, distance))
