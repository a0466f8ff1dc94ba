"""What the ledger holds about production: agreement, rollouts, kept slices, drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from maskloop.records.record import Check, Record, RolloutPhase
from maskloop.wording import count

__all__ = [
    "METRIC_IN_WORDS",
    "AgreementMeasured",
    "CheckedQuality",
    "ClassQuality",
    "DriftJudged",
    "QualityEstimate",
    "QualityMeasured",
    "QualityMetric",
    "RolloutMoved",
    "RolloutStarted",
    "SliceRecorded",
]


class AgreementMeasured(Record):
    """How a champion differs from the truth, measured as a rollout measures how two models differ."""

    kind: ClassVar[str] = "agreement.measured"
    weights_digest: str
    agreement: float
    """0..1: `evaluation.agreement.PerfectChallenger` explains the four figures."""
    lowest_count_shift: float = 0.0
    highest_count_shift: float = 0.0
    class_flips: float = 0.0
    num_pictures: int
    data_tag: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return (
            f"model {self.weights_digest[:12]}: agreement with the labels {self.agreement:.2f} "
            f"({count(self.num_pictures, 'picture')} of {self.data_tag}), for the limits of a rollout"
        )


class RolloutStarted(Record):
    """A blessed challenger begins to answer beside the champion, in the shadow."""

    kind: ClassVar[str] = "rollout.started"
    version: str
    weights_digest: str
    blessing_id: str
    champion_version: str
    champion_digest: str
    steps_percent: tuple[float, ...]
    required_agreement: float
    lowest_count_shift: float = -1.0
    highest_count_shift: float = 1.0
    max_class_flips: float = 1.0
    settings_digest: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return (
            f"the rollout of version {self.version} begins, in the shadow of version {self.champion_version}"
        )


class RolloutMoved(Record):
    """A rollout changed its phase or its share of traffic. From here on that share holds everywhere."""

    kind: ClassVar[str] = "rollout.moved"
    event: str
    """What in the transition table (serving/rollout/canary.py) led here."""
    phase: RolloutPhase
    share_percent: float
    reason: str
    num_compared: int = 0
    checks: tuple[Check, ...] = ()

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"rollout {self.phase} at {self.share_percent:g} %: {self.reason}"


class SliceRecorded(Record):
    """The pictures a rollout failed on were kept; the next candidate is asked about them."""

    kind: ClassVar[str] = "slice.recorded"
    slice_id: str
    weights_digest: str
    """Of the challenger that failed on them."""
    reference_digest: str
    """Of the champion whose answers are the reference until people have corrected them."""
    num_pictures: int
    pictures_digest: str
    failed_checks: tuple[str, ...]
    required_agreement: float = 0.5
    """With the reference, over these pictures."""

    def sentence(self) -> str:
        """Say it in plain words."""
        why = ", ".join(self.failed_checks)
        pictures = count(self.num_pictures, "picture")
        was = "was" if self.num_pictures == 1 else "were"
        return f"{pictures} {was} kept as slice {self.slice_id}: {why}"


QualityMetric = Literal["mask_iou", "mask_ap"]
"""The class mask IoU of the gates (`evaluation.instances.IouTable`), or COCO's AP of masks."""
METRIC_IN_WORDS: Final[Mapping[QualityMetric, str]] = {"mask_iou": "mask IoU", "mask_ap": "mask AP"}


class QualityEstimate(Record):
    """How good the champion's masks of one class probably are in a window of production, without its labels.

    Read ``value`` only where ``refused_because`` is empty; otherwise all three numbers are None, and
    nothing is known: neither that the class is good nor that it is bad. Where it is empty, ``low`` and
    ``high`` are the band, and a rule that must not be wrong about good quality compares its target with
    ``low``. A record without any estimate says why in `DriftJudged.no_estimate`.
    """

    kind: ClassVar[str] = ""
    class_name: str
    metric: QualityMetric
    value: float | None
    """0..1."""
    low: float | None
    """0..1, the lower end of the band that holds the true figure with a probability of `confidence`."""
    high: float | None
    """0..1, its upper end."""
    confidence: float
    """0..1."""
    num_pictures: int
    """How many pictures of the window were looked at."""
    refused_because: str = ""
    """Why there is no number, in words; empty if there is one."""

    def sentence(self) -> str:
        """Say it in plain words."""
        of = f"{METRIC_IN_WORDS[self.metric]} of {self.class_name}"
        if self.value is None or self.low is None or self.high is None:
            return f"{of}: no estimate, {self.refused_because}"
        return f"{of}: about {self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


class ClassQuality(Record):
    """How well one class was found in labelled pictures, as sums that can be added over batches of labels.

    For each picture let n be its instances of the class, and s their mask IoU added up, where a missed one
    counts 0. From the sums follow the class mask IoU and its standard error with pictures as clusters.
    """

    kind: ClassVar[str] = ""
    class_name: str
    num_pictures: int
    """That show the class."""
    num_instances: int
    iou_sum: float
    iou_sum_squared: float
    """The sum of s * s."""
    iou_sum_by_instances: float
    """The sum of s * n."""
    instances_squared: int
    """The sum of n * n."""

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.class_name}: {self.iou_sum:.1f} of {count(self.num_instances, 'instance')}"


class CheckedQuality(Record):
    """What labels of random pictures say about one class, beside what was estimated before they came."""

    kind: ClassVar[str] = ""
    class_name: str
    value: float | None
    """0..1, the mask IoU; None where too few labelled pictures show the class."""
    low: float | None
    """0..1, the lower end of its interval."""
    high: float | None
    """0..1, its upper end."""
    num_labelled: int
    """Labelled pictures that show the class."""
    refused_because: str = ""
    estimate: float | None = None
    """0..1, what was estimated without labels; None if that was nothing, or refused."""
    estimate_low: float | None = None
    estimate_high: float | None = None

    def sentence(self) -> str:
        """Say it in plain words."""
        estimated = "no estimate before"
        if self.estimate is not None and self.estimate_low is not None and self.estimate_high is not None:
            band = f"{self.estimate_low:.2f} to {self.estimate_high:.2f}"
            estimated = f"estimated {self.estimate:.2f} ({band}) before"
        if self.value is None or self.low is None or self.high is None:
            return f"{self.class_name}: {self.refused_because}; {estimated}"
        return f"{self.class_name}: {self.value:.2f} ({self.low:.2f} to {self.high:.2f}), {estimated}"


class QualityMeasured(Record):
    """The champion was held against labels of production pictures that came after it was trained."""

    kind: ClassVar[str] = "quality.measured"
    version: str
    weights_digest: str
    data_tag: str
    """The data version that brought the labels."""
    num_pictures: int
    num_random: int
    """Of these, drawn at random: by them quality is estimated without bias."""
    classes: tuple[ClassQuality, ...]
    """Over all of the pictures."""
    random_classes: tuple[ClassQuality, ...] = ()
    """Over those drawn at random."""
    checked: tuple[CheckedQuality, ...] = ()
    """What those drawn at random say with an interval, beside what was estimated before."""

    def sentence(self) -> str:
        """Say it in plain words."""
        found = [one for one in self.classes if one.num_instances]
        said = ", ".join(f"{one.class_name} {one.iou_sum / one.num_instances:.2f}" for one in found)
        random = f", {self.num_random} of them at random" if self.num_random else ""
        known = "; ".join(one.sentence() for one in self.checked if one.value is not None)
        by_random = f"; by the random ones: {known}" if known else ""
        return (
            f"version {self.version} on {count(self.num_pictures, 'production picture')} labelled in "
            f"{self.data_tag}{random}: mask IoU {said or 'of no instance'}{by_random}"
        )


class DriftJudged(Record):
    """One window of production was compared with the champion's baseline."""

    kind: ClassVar[str] = "drift.judged"
    outcome: Literal["drift", "quiet", "inconclusive"]
    reason: str
    window_id: str
    num_samples: int
    missing_percent: float
    baseline_digest: str
    weights_digest: str
    threshold_digest: str
    drifted_features: tuple[str, ...]
    report: str
    """Path of the HTML report relative to the workspace."""
    sources: tuple[str, ...] = ()
    """Where the window's pictures came from, in alphabetical order; empty in old records."""
    score: float | None = None
    """0..1, the largest effect of a signal; None in old records and without any signal."""
    num_scenes: int = 0
    """About so many scenes the samples show; 0 in old records, which did not count them."""
    drifted_sources: tuple[str, ...] = ()
    """The sources whose own samples drifted, in alphabetical order; empty if only the whole window did."""
    drifted_since: str = ""
    """When the first of their samples in the window came, ISO 8601 with its time zone."""
    unjudged_sources: tuple[str, ...] = ()
    """Sources of the champion's data with too few held-out pictures to be judged, in alphabetical order."""
    evidence: str = ""
    """What the sequential detector said; empty in old records and without a budget of false alarms."""
    estimates: tuple[QualityEstimate, ...] = ()
    """How good each class probably is in this window; empty in old records, and where `no_estimate` says
    why."""
    no_estimate: str = ""
    """Why quality was not estimated at all, in words."""

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.headline()}: {self.reason}"

    def tell_quality(self) -> tuple[str, ...]:
        """Say each estimated mask IoU, or why there is none; nothing for records from before estimates."""
        if self.no_estimate:
            return (f"quality was not estimated: {self.no_estimate}",)
        return tuple(one.sentence() for one in self.estimates if one.metric == "mask_iou")

    def headline(self) -> str:
        """Say the outcome alone."""
        of_sources = f" of {', '.join(self.sources)}" if self.sources else ""
        scenes = (
            f", about {count(self.num_scenes, 'scene')}" if 0 < self.num_scenes < self.num_samples else ""
        )
        unjudged = f"; {', '.join(self.unjudged_sources)} not judged" if self.unjudged_sources else ""
        samples = f"{count(self.num_samples, 'sample')}{of_sources}{scenes}"
        if self.outcome == "inconclusive":
            return f"{samples} cannot tell whether production has drifted"
        return f"production has {'' if self.outcome == 'drift' else 'not '}drifted ({samples}{unjudged})"
