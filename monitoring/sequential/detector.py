"""The detector of one champion: which scenes it counts, and the evidence for each source of pictures.

Each sample is counted at most once, whenever and however often the detector runs, and of each scene one
sample (`monitoring.drift.scenes`). Every source has its own evidence against its own reference, so known
sources in new proportions are no change. The sources share the time that passes, so the budget holds for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitoring.drift.baseline import Baseline
from monitoring.drift.references import POOLED
from monitoring.drift.scenes import find_first_looks, find_scenes
from monitoring.samples.values import Sample
from monitoring.sequential.evidence import (
    CREDIT,
    Alarm,
    Evidence,
    add_scene,
    begin_evidence,
    needed_evidence,
)
from monitoring.sequential.scoring import Scorer


@dataclass(frozen=True)
class Detector:
    """Everything the detector remembers.

    Attributes:
        weights_digest: Of the champion.
        baseline_digest: Of the pooled reference.
        evidence: By source.
        seen: The ids of those of the newest samples that were looked at.
        since_counted: By source: samples since the last one that was counted, near duplicates left out.
        clock: The latest time at which a counted scene came; None before the first.
        began: When the first scene came that was counted.
        cycle_ended: When the last cycle had ended, as of the last look; an alarm from before it is answered.
        newcomers_asked: When a window last was asked whether its newcomers are an alarm by themselves.
    """

    weights_digest: str
    baseline_digest: str
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    seen: tuple[str, ...] = ()
    since_counted: Mapping[str, int] = field(default_factory=dict)
    clock: datetime | None = None
    began: datetime | None = None
    cycle_ended: datetime | None = None
    newcomers_asked: datetime | None = None

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """The alarm of each source that has one, the first one first."""
        found = [one.alarm for one in self.evidence.values() if one.alarm]
        return tuple(sorted(found, key=lambda alarm: (alarm.at, alarm.source)))

    @property
    def num_scenes(self) -> int:
        """The scenes of all sources that were counted."""
        return sum(one.num_scenes for one in self.evidence.values())

    @property
    def scenes_per_day(self) -> float | None:
        """How many scenes came a day; None before there are some from at least an hour."""
        if self.began is None or self.clock is None or self.clock - self.began < timedelta(hours=1):
            return None
        return self.num_scenes / ((self.clock - self.began) / timedelta(days=1))

    def after_cycle(self, ended_at: datetime | None) -> Detector:
        """Begin anew with the scenes that come from now on, if a cycle has ended since an alarm.

        Args:
            ended_at: When the last cycle ended; None if none has.
        """
        if ended_at == self.cycle_ended:
            return self
        if not self.alarms:
            return replace(self, cycle_ended=ended_at)
        return Detector(
            self.weights_digest,
            self.baseline_digest,
            seen=self.seen,
            cycle_ended=ended_at,
            newcomers_asked=self.newcomers_asked,
        )


def watch(
    detector: Detector,
    newest: Sequence[Sample],
    references: Mapping[str, Baseline],
    scorers: Mapping[str, Scorer],
    *,
    max_per_quarter: float,
    min_samples: int,
    now: datetime,
    left_out: frozenset[str] = frozenset(),
) -> Detector:
    """Count the scenes among the newest samples that were not looked at yet. Pure.

    Args:
        detector: So far.
        newest: The champion's newest samples, judged or not, the last to arrive first.
        references: By source, with the pooled one under `POOLED`.
        scorers: Of these references, by the same names.
        max_per_quarter: The budget of false alarms, above 0.
        min_samples: Dependence between samples is not known from fewer; until then none is counted. A look
            that the so many samples before did not have is another scene, as it is in another window.
        now: A sample with a later time came now: a wrong clock must not stop the time of all that follow.
        left_out: Sources that cannot be judged.
    """
    if len(newest) < min_samples:
        return detector
    detector = replace(detector, clock=_at_most(detector.clock, now), began=_at_most(detector.began, now))
    arrived, seen = tuple(reversed(newest)), set(detector.seen)
    spacings = _find_spacings(arrived, references[POOLED], min_samples)
    is_new = [sample.sample_id not in seen for sample in arrived]
    start = max(0, is_new.index(True) - min_samples) if any(is_new) else len(arrived)
    firsts = {start + position for position in find_first_looks(arrived[start:], references[POOLED])}
    found = replace(detector, seen=tuple(sample.sample_id for sample in arrived))
    for position, sample in enumerate(arrived):
        if not is_new[position] or position not in firsts or sample.source in left_out:
            continue
        spacing = spacings.get(sample.source, 1)
        since = found.since_counted.get(sample.source, spacing - 1) + 1
        is_due = since >= spacing
        found = replace(found, since_counted={**found.since_counted, sample.source: 0 if is_due else since})
        if is_due:
            scorer = scorers.get(sample.source, scorers[POOLED])
            at = min(sample.received_at, now)
            found = _count(found, sample, scorer, max_per_quarter, at=at)
    return found


def _at_most(moment: datetime | None, now: datetime) -> datetime | None:
    return min(moment, now) if moment else None


def _find_spacings(arrived: Sequence[Sample], baseline: Baseline, min_samples: int) -> dict[str, int]:
    """Return by source how many samples in a row count as one.

    A change looks like dependence in the samples around it, which would delay its alarm. So the older and the
    newer half of the samples are asked, and the smaller spacing counts.
    """
    half = len(arrived) // 2
    if half < min_samples:
        return find_scenes(arrived, baseline).spacing
    older, newer = (find_scenes(part, baseline).spacing for part in (arrived[:half], arrived[half:]))
    return {
        source: min(older.get(source, newer.get(source, 1)), newer.get(source, older.get(source, 1)))
        for source in {**older, **newer}
    }


def _count(
    detector: Detector, sample: Sample, scorer: Scorer, max_per_quarter: float, *, at: datetime
) -> Detector:
    evidence = detector.evidence.get(sample.source)
    if evidence is None or evidence.reference_digest != scorer.digest:
        place = len(detector.evidence) + 1
        evidence = begin_evidence(sample.source, scorer, credit=CREDIT / (place * (place + 1)))
    clock = detector.clock or at
    [numbers] = scorer.measure([sample])
    evidence = add_scene(
        evidence,
        scorer,
        scorer.place(numbers, sample.sample_id),
        at=at,
        gap=at - clock,
        needed=needed_evidence(max_per_quarter, len(scorer.columns)),
    )
    return replace(
        detector,
        evidence={**detector.evidence, sample.source: evidence},
        clock=max(clock, at),
        began=detector.began or at,
    )
