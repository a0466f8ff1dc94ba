"""Production pictures that may be chosen, and what speaks for each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from evaluation.instances import ScoreThreshold
from monitoring.drift.baseline import Baseline
from monitoring.samples.values import Sample
from monitoring.selection.attribution import attribute_drift
from monitoring.selection.class_need import ClassNeed, most_needed
from monitoring.selection.reasons import FarOut, tell_reason
from monitoring.selection.uncertainty import Uncertainty, estimate_uncertainty
from monitoring.signals.feature_signal import FeatureSignal


@dataclass(frozen=True)
class Context:
    """What candidates are rated by.

    Attributes:
        baseline: What the champion's own pictures look like.
        signals: Of the drift verdict; empty if there is no alarm.
        needs: By class name.
        min_score: Detections with a lower score do not count as found, not even doubtfully.
    """

    baseline: Baseline
    signals: tuple[FeatureSignal, ...]
    needs: Mapping[str, ClassNeed]
    min_score: float

    @property
    def empty_share(self) -> float:
        """How often the champion finds nothing in its own pictures, 0..1 (Laplace's rule of succession)."""
        if "count" not in self.baseline.feature_names:
            return 0.5
        counts = self.baseline.values[:, self.baseline.feature_names.index("count")]
        counts = counts[np.isfinite(counts)]
        return float(((counts == 0.0).sum() + 1) / (len(counts) + 2))


@dataclass(frozen=True)
class Candidate:
    """A picture that may be chosen.

    Attributes:
        sample: The production sample.
        drift: 0..1, see `Attribution`; 1 without an alarm.
        uncertainty: Of the champion.
        needed_class: Of the classes found in it the one that needs labels most; empty if none was found.
        need: 0..1, of that class.
        far_out: How far out it lies in each feature that drifted.
    """

    sample: Sample
    drift: float
    uncertainty: Uncertainty
    needed_class: str
    need: float
    far_out: tuple[FarOut, ...] = ()

    @property
    def score(self) -> float:
        """``drift * uncertainty * (1 + need)``, 0..2."""
        return self.drift * self.uncertainty.total * (1.0 + self.need)

    @property
    def parts(self) -> dict[str, float]:
        """The terms of the score by name, rounded to four decimals."""
        figures = {
            "drift": self.drift,
            "uncertainty": self.uncertainty.total,
            "class": self.uncertainty.class_part,
            "mask": self.uncertainty.spatial_part,
            "occurrence": self.uncertainty.occurrence_part,
            "need": self.need,
            "score": self.score,
        }
        return {name: round(value, 4) for name, value in figures.items()}

    def reason(self, context: Context, class_names: Sequence[str]) -> str:
        """Return why it is worth a label, in plain words."""
        need = context.needs.get(self.needed_class)
        return tell_reason(
            self.uncertainty,
            far_out=self.far_out,
            num_held_out=context.baseline.num_samples,
            empty_share=context.empty_share,
            needed_class=self.needed_class if need and self.need > 0.0 else "",
            need=need,
            class_names=class_names,
        )


def find_eligible(samples: Sequence[Sample], taken: AbstractSet[str]) -> list[Sample]:
    """Return the samples whose picture is kept and not taken, each picture once, by digest.

    Args:
        samples: The last to arrive first: of several with one picture the newest counts.
        taken: Digests of pictures that are labelled, or asked for already.
    """
    newest: dict[str, Sample] = {}
    for sample in samples:
        if sample.picture_file is not None and sample.picture_digest not in taken:
            newest.setdefault(sample.picture_digest, sample)
    return [newest[digest] for digest in sorted(newest)]


def rate_candidates(samples: Sequence[Sample], context: Context) -> list[Candidate]:
    """Rate samples by what was stored of them: features and scores."""
    attribution = attribute_drift(context.signals, context.baseline, samples)
    empty_share = context.empty_share
    rated = []
    for number, sample in enumerate(samples):
        needed = most_needed(sample.class_counts, context.needs)
        shares = attribution.shares[number].tolist()
        told = map(FarOut, attribution.features, attribution.rises, shares)
        rated.append(
            Candidate(
                sample,
                drift=float(attribution.drift[number]),
                uncertainty=estimate_uncertainty(
                    sample.top_scores, min_score=context.min_score, empty_share=empty_share
                ),
                needed_class=needed,
                need=context.needs[needed].need if needed else 0.0,
                far_out=tuple(one for one in told if not math.isnan(one.share)),
            )
        )
    return rated


def with_uncertainty(candidate: Candidate, uncertainty: Uncertainty) -> Candidate:
    """Return a candidate with what its views say in place of what its stored scores said."""
    return replace(candidate, uncertainty=uncertainty)


def best_candidates(candidates: Sequence[Candidate], num: int) -> list[Candidate]:
    """Return up to ``num`` candidates with the highest scores, the best first; equals by digest."""
    scores = np.array([one.score for one in candidates], np.float64)
    digests = np.array([one.sample.picture_digest for one in candidates])
    return [candidates[index] for index in np.lexsort((digests, -scores))[:num]]


def lower_bound(threshold: ScoreThreshold) -> float:
    """Return the score from which on a detection counts as found, if doubtfully: half the threshold."""
    lowest = min(threshold) if isinstance(threshold, tuple) else threshold
    return lowest / 2.0
