"""Four families of signals, each with its part of the false-alarm rate: so many tests lose little power.

Two fifths of the rate belong to the *pictures* as a whole: their own features, those of the answer, the
embedding. A fifth belongs to *newcomers*, a part of the pictures that is unlike all others; a fifth to the
*counts* of each class, a fifth to the *masks*, which are judged class by class. A family that a baseline does
not have leaves its part to the others. The parts are added (Bonferroni), so how
the families depend on each other does not matter. Within pictures and counts the correction is Holm's. Each
class's masks are a family of their own (`family_corrected`): eighty classes with eight features each are not
640 tests, and the classes that are named are right but for the rate.

A class that too few scenes show is not judged, which is decided from numbers of scenes alone, so it costs the
others nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from maskloop.settings.workspace_settings import MonitoringSettings
from maskloop.wording import count
from monitoring.drift.baseline import Baseline
from monitoring.drift.comparison import compare_embeddings, compare_features, look_for_newcomers
from monitoring.features.feature import COUNT_OF, Feature, FeatureTable
from monitoring.samples.values import Sample
from monitoring.signals.corrections import family_corrected, holm_corrected
from monitoring.signals.feature_signal import FeatureSignal
from monitoring.signals.two_sample import detectable_distance, ordinary_effect

Outcome = Literal["drift", "quiet", "inconclusive"]
Columns = Mapping[int, Feature]

MIN_CLASS_SCENES: Final = 20
"""A class whose masks fewer scenes show, on either side, is not judged."""
MAX_DETECTABLE_EFFECT: Final = 0.7
"""A comparison that could not even see an effect of this size is inconclusive."""
_WEIGHTS: Final = {"pictures": 2.0, "newcomers": 1.0, "counts": 1.0, "masks": 1.0}
MAX_FAMILIARITY: Final = 1 / 8
"""Of newcomers. Known cameras of which one sends more than before measured 0.27 to 0.45 (tenths of windows),
where it sends four times as much 0.14 to 0.29, a new camera in a fifth 0 to 0.07."""
_FEWEST_PROPERTIES: Final = 3
"""Of pictures; with fewer, nothing shows that single properties do not."""


@dataclass(frozen=True)
class Families:
    """The features of a baseline that are still measured, each by column of its values.

    Attributes:
        pictures: Of whole pictures and answers.
        counts: Of each class; none where there is a single class, whose count is that of all detections.
        masks: By class.
    """

    pictures: Columns
    counts: Columns
    masks: Mapping[str, Columns]

    @property
    def properties(self) -> Columns:
        """The properties of the pictures themselves, which every picture has."""
        return {column: one for column, one in self.pictures.items() if one.needs == "picture"}

    @property
    def parts(self) -> Mapping[str, float]:
        """The part of the false-alarm rate of each family, 0..1."""
        has = {
            "pictures": True,
            "newcomers": len(self.properties) >= _FEWEST_PROPERTIES,
            "counts": bool(self.counts),
            "masks": bool(self.masks),
        }
        total = sum(_WEIGHTS[name] for name in has if has[name])
        return {name: _WEIGHTS[name] / total if has[name] else 0.0 for name in has}


@dataclass(frozen=True)
class ClassVerdict:
    """What was found in the masks of one class.

    Attributes:
        class_name: Its name.
        outcome: ``drift``, ``quiet`` or ``inconclusive``.
        reason: In words; empty if quiet.
        num_reference: Scenes of the champion's own that show it.
        num_current: Scenes of the window that show it.
        num_drifted: Its signals that drifted.
    """

    class_name: str
    outcome: Outcome
    reason: str
    num_reference: int
    num_current: int
    num_drifted: int = 0


@dataclass(frozen=True)
class NewcomersVerdict:
    """What was found of pictures that are unlike all of the champion's own.

    Attributes:
        share: Of the window, 0..1, an estimate.
        corrected_p_value: To be compared with the false-alarm rate.
        surer_p_value: Not corrected, of more permutations; see `newcomers.Newcomers`.
        drifted: Certain, enough, not only more of what the champion's own pictures have already, and unlike
            these in ``min_drifted_features`` properties.
        signals: Of those that are certain and enough, each property beside the champion's own pictures; it
            drifted where the effect is large.
    """

    share: float
    corrected_p_value: float
    surer_p_value: float
    drifted: bool
    signals: tuple[FeatureSignal, ...] = ()


def divide_features(baseline: Baseline, table: FeatureTable) -> Families:
    """Put each feature of a baseline that is still measured into its family."""
    found = {column: table.find(name) for column, name in enumerate(baseline.feature_names)}
    known = {column: feature for column, feature in found.items() if feature is not None}
    masks: dict[str, dict[int, Feature]] = {}
    for column, feature in known.items():
        if feature.needs == "instances":
            masks.setdefault(feature.class_name, {})[column] = feature
    of_all = {column: feature for column, feature in known.items() if feature.needs != "instances"}
    counts = {column: feature for column, feature in of_all.items() if feature.class_name}
    return Families(
        {column: feature for column, feature in of_all.items() if not feature.class_name},
        counts if len(counts) > 1 else {},
        masks,
    )


def judge_pictures(
    baseline: Baseline,
    families: Families,
    samples: Sequence[Sample],
    judged_samples: Sequence[Sample],
    settings: MonitoringSettings,
    *,
    seed: int,
) -> list[FeatureSignal]:
    """Judge pictures as a whole and the counts of classes."""
    parts = families.parts
    pictures = compare_features(baseline, families.pictures, samples, judged_samples)
    if len(baseline.embeddings):
        smallest = settings.false_alarm_rate * parts["pictures"] / (len(pictures) + 1)
        pictures.append(
            compare_embeddings(baseline, samples, judged_samples, smallest_p_value=smallest, seed=seed)
        )
    counts = compare_features(baseline, families.counts, samples, judged_samples)
    return [
        *_judge(pictures, holm_corrected([one.p_value for one in pictures]), parts["pictures"], settings),
        *_judge(counts, holm_corrected([one.p_value for one in counts]), parts["counts"], settings),
    ]


def judge_newcomers(
    baseline: Baseline,
    families: Families,
    judged_samples: Sequence[Sample],
    settings: MonitoringSettings,
    *,
    seed: int,
) -> NewcomersVerdict | None:
    """Judge whether a part of the pictures is unlike all others; None if that cannot be asked."""
    part = families.parts["newcomers"]
    if not part:
        return None
    found = look_for_newcomers(
        baseline,
        families.properties,
        judged_samples,
        smallest_p_value=settings.false_alarm_rate * part,
        seed=seed,
    )
    corrected = min(1.0, found.p_value / part)
    is_new = found.share >= settings.min_new_share and found.familiarity <= MAX_FAMILIARITY
    if corrected > settings.false_alarm_rate or not is_new:
        return NewcomersVerdict(found.share, corrected, found.surer_p_value, False)
    new = [judged_samples[place] for place in found.places]
    signals = tuple(
        replace(one, drifted=one.effect >= settings.min_effect, needed_effect=settings.min_effect)
        for one in compare_features(baseline, families.properties, new, new)
    )
    has_drifted = sum(one.drifted for one in signals) >= settings.min_drifted_features
    return NewcomersVerdict(found.share, corrected, found.surer_p_value, has_drifted, signals)


def judge_classes(
    baseline: Baseline,
    families: Families,
    samples: Sequence[Sample],
    judged_samples: Sequence[Sample],
    settings: MonitoringSettings,
) -> tuple[list[FeatureSignal], tuple[ClassVerdict, ...]]:
    """Judge the masks of each class. Returns the signals of the judged ones, and a verdict for each class."""
    shown = Counter(name for one in judged_samples for name in _classes_in(one))
    told: dict[str, tuple[list[FeatureSignal], ClassVerdict]] = {}
    for name, columns in families.masks.items():
        num_own = int(np.isfinite(baseline.scene_values[:, list(columns)]).any(axis=1).sum())
        why_not = _tell_too_few(num_own, shown[name])
        signals = [] if why_not else compare_features(baseline, columns, samples, judged_samples)
        why_not = why_not or _tell_missing(signals, settings)
        outcome: Outcome = "inconclusive" if why_not else "quiet"
        told[name] = signals, ClassVerdict(name, outcome, why_not, num_own, shown[name])
    judged = {name: signals for name, (signals, verdict) in told.items() if verdict.outcome == "quiet"}
    part = families.parts["masks"]
    p_values = {name: [one.p_value for one in signals] for name, signals in judged.items()}
    corrected = family_corrected(p_values, level=settings.false_alarm_rate * part)
    found = {name: _judge(signals, corrected[name], part, settings) for name, signals in judged.items()}
    verdicts = [
        _decide_class(verdict, found.get(name, []), len(judged), part, settings)
        for name, (_, verdict) in told.items()
    ]
    strangers = sorted(shown.keys() - families.masks.keys()) if families.masks else []
    verdicts += [
        ClassVerdict(name, "inconclusive", "the baseline does not know the class", 0, shown[name])
        for name in strangers
    ]
    return [one for signals in found.values() for one in signals], tuple(verdicts)


def tell_unjudged(verdicts: Sequence[ClassVerdict], *, most: int = 3) -> str:
    """Say which classes could not be judged and why, as a clause; empty if all were."""
    unjudged = [one for one in verdicts if one.outcome == "inconclusive"]
    if not unjudged:
        return ""
    named = [f"{one.class_name} ({one.reason})" for one in unjudged[:most]]
    if unjudged[most:]:
        named.append(count(len(unjudged) - most, "further class", "further classes"))
    return f"masks were not judged of class {', '.join(named)}"


def _classes_in(sample: Sample) -> list[str]:
    return [
        name.removeprefix(COUNT_OF)
        for name, value in sample.features.items()
        if value and name.startswith(COUNT_OF)
    ]


def _tell_too_few(num_own: int, num_shown: int) -> str:
    if num_own < MIN_CLASS_SCENES:
        return f"{num_own} of the champion's own scenes show it, {MIN_CLASS_SCENES} are needed"
    if not num_shown:
        return "it vanished: no scene of the window shows it"
    if num_shown < MIN_CLASS_SCENES:
        shows = "1 scene of the window shows" if num_shown == 1 else f"{num_shown} scenes of the window show"
        return f"{shows} it, {MIN_CLASS_SCENES} are needed"
    return ""


def _tell_missing(signals: Sequence[FeatureSignal], settings: MonitoringSettings) -> str:
    worst = max(signals, key=lambda one: one.missing_percent)
    if worst.missing_percent <= settings.max_missing_percent:
        return ""
    return (
        f"{worst.feature.label} is missing in {worst.missing_percent:.0f} % of the samples that show it: they"
        " are of an earlier version, or it is no longer sent"
    )


def _decide_class(
    verdict: ClassVerdict,
    signals: Sequence[FeatureSignal],
    num_classes: int,
    part: float,
    settings: MonitoringSettings,
) -> ClassVerdict:
    if not signals:
        return verdict
    num_drifted = sum(one.drifted for one in signals)
    if num_drifted >= settings.min_drifted_features:
        reason = f"{num_drifted} of {count(len(signals), 'signal')} drifted"
        return replace(verdict, outcome="drift", reason=reason, num_drifted=num_drifted)
    p_value = settings.false_alarm_rate * part / (num_classes * len(signals))
    if detectable_distance(verdict.num_reference, verdict.num_current, p_value) > MAX_DETECTABLE_EFFECT:
        reason = f"with so few scenes even a change with an effect of {MAX_DETECTABLE_EFFECT} could be missed"
        return replace(verdict, outcome="inconclusive", reason=reason, num_drifted=num_drifted)
    return replace(verdict, num_drifted=num_drifted)


def _judge(
    signals: Sequence[FeatureSignal],
    p_values: Sequence[float],
    part: float,
    settings: MonitoringSettings,
) -> list[FeatureSignal]:
    """Judge the signals of one family, by p-values corrected within it.

    A signal is large if its effect is above what chance gives between chunks of such sizes, too.
    """
    judged = []
    for signal, p_value in zip(signals, p_values, strict=True):
        corrected = min(1.0, p_value / part)
        needed = max(settings.min_effect, ordinary_effect(signal.num_reference, signal.num_current))
        drifted = corrected <= settings.false_alarm_rate and signal.effect >= needed
        judged.append(replace(signal, corrected_p_value=corrected, needed_effect=needed, drifted=drifted))
    return judged
