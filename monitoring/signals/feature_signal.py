"""The result of one feature for a window."""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.features.feature import Feature, FeatureGroup
from monitoring.signals.two_sample import ordinary_effect


@dataclass(frozen=True)
class FeatureSignal:
    """The result of one feature, or of the embedding.

    Attributes:
        feature: Its row in the table; the embedding has one beside the table.
        num_reference: Values in the baseline.
        num_current: Values in the window.
        missing_percent: Of the window's samples that should have a value, how many have none.
        distance: The test statistic: Kolmogorov-Smirnov, or energy distance for the embedding.
        p_value: Of this test alone.
        corrected_p_value: Corrected over all signals of the verdict, to be compared with its error rate.
        effect: 0..1; the Kolmogorov-Smirnov distance (for the embedding, of its witness values).
        reference_mean: None for the embedding, or without values.
        current_mean: None for the embedding, or without values.
        drifted: Certain and large.
        needed_effect: The effect it had to have, 0..1.
    """

    feature: Feature
    num_reference: int
    num_current: int
    missing_percent: float
    distance: float
    p_value: float
    corrected_p_value: float
    effect: float
    reference_mean: float | None
    current_mean: float | None
    drifted: bool
    needed_effect: float = 0.0

    @property
    def effect_band(self) -> tuple[float, float]:
        """In which the effect lies with a confidence of 95 %, 0..1 each."""
        half = ordinary_effect(self.num_reference, self.num_current)
        return max(0.0, self.effect - half), min(1.0, self.effect + half)

    @property
    def name(self) -> str:
        """The feature's name, or ``embedding``."""
        return self.feature.name

    @property
    def group(self) -> FeatureGroup:
        """What it is about."""
        return self.feature.group
