"""Is the challenger as good as the champion? Judged on the pictures both answered. Pure.

Every check is an always-valid test (`evaluation.sequential`), so it may be looked at after every picture. A
challenger that keeps every limit is stopped by any of the checks at any moment with a chance of at most
`rollout.error_rate`, shared out among them.

Two kinds of checks: what every picture tells about must be shown to hold before the rollout goes on; what
is rare (failures, broken promises, people's corrections) must not have been shown to be violated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.agreement import PerfectChallenger
from evaluation.sequential import judge_mean, share_error_rate
from maskloop.records import AgreementMeasured, Check, Outcome, RolloutStarted
from maskloop.settings import RolloutSettings, SloSettings
from serving.pairs import Comparison

SLOW_SHARE: Final = 0.5
"""Of pictures: a challenger that is too slow for most of them is too slow."""
P95_BUDGET: Final = 0.05
"""Share of answers that may take longer than the promised 95th percentile."""
RARE: Final = frozenset({"errors", "slo.errors", "slo.latency", "feedback"})
NUM_CHECKS: Final = 10


@dataclass(frozen=True)
class Limits:
    """What a challenger must keep to.

    Attributes:
        agreement: Lowest mean agreement with the champion, 0..1.
        lowest_count_shift: Of the mean count shift, -1..0.
        highest_count_shift: Likewise, 0..1.
        class_flips: Largest mean share of instances named differently, 0..1.
    """

    agreement: float
    lowest_count_shift: float
    highest_count_shift: float
    class_flips: float

    @classmethod
    def of(cls, started: RolloutStarted) -> Limits:
        """Return the limits a rollout began with."""
        return cls(
            started.required_agreement,
            started.lowest_count_shift,
            started.highest_count_shift,
            started.max_class_flips,
        )


@dataclass(frozen=True)
class Analysis:
    """What is known about a challenger.

    Attributes:
        checks: One line each; ``inconclusive`` where the pictures cannot tell yet.
        num_compared: Pictures both were asked about.
        champion_p50_ms: Median of what the champion took; 0 before there are any, like the others.
        champion_p95_ms: 95th percentile.
        challenger_p50_ms: Of what the challenger took for the same pictures.
        challenger_p95_ms: Likewise.
    """

    checks: tuple[Check, ...] = ()
    num_compared: int = 0
    champion_p50_ms: float = 0.0
    champion_p95_ms: float = 0.0
    challenger_p50_ms: float = 0.0
    challenger_p95_ms: float = 0.0

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks that were shown to be violated."""
        return tuple(check for check in self.checks if check.outcome == "fail")

    @property
    def outcome(self) -> Outcome:
        """``fail`` if any check fails, ``pass`` if every check that must be shown to hold was."""
        if self.failed:
            return "fail"
        open_ones = [c for c in self.checks if c.outcome == "inconclusive" and c.name not in RARE]
        return "inconclusive" if open_ones or not self.checks else "pass"


def set_limits(measured: AgreementMeasured | None, settings: RolloutSettings) -> Limits:
    """Set a rollout's limits so that a perfect challenger keeps them, with room for an honest one.

    Args:
        measured: How the champion differs from the truth; None if nobody measured it.
        settings: The room.
    """
    if measured is None:
        shift, flips = settings.max_count_shift, settings.max_class_flips
        return Limits(settings.min_agreement, -shift, shift, flips)
    return Limits(
        agreement=max(0.0, measured.agreement - settings.max_agreement_drop),
        lowest_count_shift=max(-1.0, measured.lowest_count_shift - settings.max_count_shift),
        highest_count_shift=min(1.0, measured.highest_count_shift + settings.max_count_shift),
        class_flips=min(1.0, measured.class_flips + settings.max_class_flips),
    )


def agreement_record(perfect: PerfectChallenger, *, weights_digest: str, data_tag: str) -> AgreementMeasured:
    """Write a measurement of a champion as a record."""
    return AgreementMeasured(
        weights_digest=weights_digest,
        agreement=perfect.agreement,
        lowest_count_shift=perfect.lowest_count_shift,
        highest_count_shift=perfect.highest_count_shift,
        class_flips=perfect.class_flips,
        num_pictures=perfect.num_pictures,
        data_tag=data_tag,
    )


def analyse(
    comparisons: Sequence[Comparison],
    feedback_drops: Sequence[float],
    limits: Limits,
    settings: RolloutSettings,
    slo: SloSettings,
) -> Analysis:
    """Judge a challenger by everything that was compared since its rollout began.

    Args:
        comparisons: In order of arrival.
        feedback_drops: -1..1 for each picture a person corrected: the champion's agreement with the
            correction minus the challenger's.
        limits: That the rollout began with.
        settings: Error rate, minimum samples, the other limits.
        slo: What clients are promised.
    """
    both = [one for one in comparisons if one.both_answered]
    tried = [one for one in comparisons if not one.champion_error]
    answered = [one for one in tried if one.answered_by == "challenger"]
    judge = _Judge(settings)
    checks = (
        judge.at_least("agreement", [c.agreement for c in both], limits.agreement, 0.0, "mean agreement"),
        judge.at_least(
            "count.fewer", [c.count_shift for c in both], limits.lowest_count_shift, -1.0, "mean count shift"
        ),
        judge.at_most(
            "count.more", [c.count_shift for c in both], limits.highest_count_shift, -1.0, "mean count shift"
        ),
        judge.at_most("class_flips", [c.flip_share for c in both], limits.class_flips, 0.0, "share renamed"),
        judge.at_least(
            "score", [c.score_shift for c in both], -settings.max_score_drop, -1.0, "mean score shift"
        ),
        judge.at_most(
            "latency",
            [float(c.challenger_s > settings.max_latency_ratio * c.champion_s) for c in both],
            SLOW_SHARE,
            0.0,
            f"share of pictures that took over {settings.max_latency_ratio:g} times as long",
        ),
        judge.at_most(
            "errors",
            [float(bool(c.challenger_error)) for c in tried],
            settings.max_error_percent / 100.0,
            0.0,
            "share of pictures only the champion answered",
        ),
        judge.at_most(
            "slo.errors",
            [float(bool(c.challenger_error)) for c in answered],
            slo.max_burn_rate * slo.max_error_percent / 100.0,
            0.0,
            "share of its own requests it failed",
        ),
        judge.at_most(
            "slo.latency",
            [float(breaks_latency_promise(c, slo)) for c in answered if not c.challenger_error],
            min(1.0, slo.max_burn_rate * P95_BUDGET),
            0.0,
            f"share of its answers over {slo.p95_ms:g} ms by its own doing",
        ),
        judge.at_most(
            "feedback", list(feedback_drops), settings.max_feedback_iou_drop, -1.0, "mean drop by corrections"
        ),
    )
    return replace(_latencies(both), checks=checks, num_compared=len(comparisons))


def breaks_latency_promise(comparison: Comparison, slo: SloSettings) -> bool:
    """Tell whether an answer came too late, and would have come in time from the champion."""
    extra_s = max(0.0, comparison.challenger_s - comparison.champion_s)
    promised_s = slo.p95_ms / 1000.0
    return comparison.latency_s > promised_s >= comparison.latency_s - extra_s


@dataclass(frozen=True)
class _Judge:
    settings: RolloutSettings

    def at_least(self, name: str, values: Sequence[float], limit: float, lower: float, what: str) -> Check:
        return self._check(name, values, {"at_least": limit}, lower, what)

    def at_most(self, name: str, values: Sequence[float], limit: float, lower: float, what: str) -> Check:
        return self._check(name, values, {"at_most": limit}, lower, what)

    def _check(
        self, name: str, values: Sequence[float], bound: Mapping[str, float], lower: float, what: str
    ) -> Check:
        array: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
        found = judge_mean(
            array,
            **bound,
            lower=lower,
            upper=1.0,
            error_rate=share_error_rate(self.settings.error_rate, NUM_CHECKS),
            min_samples=self.settings.min_step_pictures,
        )
        outcome: Outcome = "inconclusive" if found == "undecided" else found
        ((side, limit),) = bound.items()
        measured = float(array.mean()) if array.size else None
        seen = f"{measured:.3f}" if measured is not None else "nothing"
        reason = f"{what}: {seen} over {array.size} pictures, {side.replace('_', ' ')} {limit:.3f} is asked"
        return Check(name=name, outcome=outcome, measured=measured, required=limit, reason=reason)


def _latencies(both: Sequence[Comparison]) -> Analysis:
    if not both:
        return Analysis()
    champion, challenger = (
        np.percentile([getattr(c, name) for c in both], [50, 95]) * 1000.0
        for name in ("champion_s", "challenger_s")
    )
    return Analysis(
        champion_p50_ms=float(champion[0]),
        champion_p95_ms=float(champion[1]),
        challenger_p50_ms=float(challenger[0]),
        challenger_p95_ms=float(challenger[1]),
    )
