"""What a challenger is asked during a rollout: one table, a row for each check.

A new check is a row and a test. The error rate is divided among the rows; the analysis, the phases, the
slices and the approval page use the table alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from maskloop.records.kinds import Check, RolloutStarted
from maskloop.settings.slo_settings import SloSettings
from maskloop.settings.workspace_settings import RolloutSettings
from serving.rollout.pairs import Comparison

Needs = Literal["both", "tried", "live", "corrections"]
SLOW_SHARE: Final = 0.5
"""Share of pictures, 0..1: a challenger that is too slow for more of them fails."""
P95_BUDGET: Final = 0.05
"""Share of answers that may take longer than the promised 95th percentile."""


@dataclass(frozen=True)
class RolloutLimits:
    """The limits that a challenger must keep.

    Attributes:
        agreement: Lowest mean agreement with the champion, 0..1.
        lowest_count_shift: Of the mean count shift, -1..0.
        highest_count_shift: Of the mean count shift, 0..1.
        class_flips: Largest mean share of instances named differently, 0..1.
    """

    agreement: float
    lowest_count_shift: float
    highest_count_shift: float
    class_flips: float

    @classmethod
    def of(cls, started: RolloutStarted) -> RolloutLimits:
        """Return the limits a rollout began with."""
        return cls(
            started.required_agreement,
            started.lowest_count_shift,
            started.highest_count_shift,
            started.max_class_flips,
        )


@dataclass(frozen=True)
class Terms:
    """What thresholds are read from: the rollout's own limits, its settings, and the promise to clients."""

    limits: RolloutLimits
    rollout: RolloutSettings
    slo: SloSettings


@dataclass(frozen=True)
class RolloutCheck:
    """A mean, and the side of a threshold it must be on.

    Attributes:
        name: In records and settings. Never reused: the ledger keeps it.
        question: As the approval page asks it.
        what: What is averaged, in words; fields of the terms are filled in: ``{slo.p95_ms:g}``.
        needs: Which values are averaged: of pictures ``both`` answered, that the champion could answer
            (``tried``), those of them the challenger ``live`` answered to the client, or of people's
            ``corrections``.
        setting: Where the threshold is set.
        side: Of the threshold the mean must be on.
        threshold: Reads it.
        measure: The value of one picture, ``lowest`` to 1; None for corrections, which come as values.
        lowest: Possible value.
        is_rare: Most pictures say nothing about it. It need not be shown to hold, only not to be violated.
        is_about_time: No picture explains a failure.
    """

    name: str
    question: str
    what: str
    needs: Needs
    setting: str
    side: Literal["least", "most"]
    threshold: Callable[[Terms], float]
    measure: Callable[[Comparison, Terms], float] | None
    lowest: float = 0.0
    is_rare: bool = False
    is_about_time: bool = False

    def describe(self, terms: Terms) -> str:
        """Say what is averaged."""
        return self.what.format(limits=terms.limits, rollout=terms.rollout, slo=terms.slo)

    def values(
        self, comparisons: Sequence[Comparison], feedback_drops: Sequence[float], terms: Terms
    ) -> list[float]:
        """Return what is averaged, in order of arrival."""
        if self.measure is None:
            return list(feedback_drops)
        return [self.measure(one, terms) for one in comparisons if self._counts(one)]

    def _counts(self, comparison: Comparison) -> bool:
        if self.needs == "both":
            return comparison.both_answered
        is_live = comparison.answered_by == "challenger"
        return not comparison.champion_error and (is_live or self.needs == "tried")


def breaks_latency_promise(comparison: Comparison, slo: SloSettings) -> bool:
    """Tell whether an answer came too late, and would have come in time from the champion.

    A request's time is queue plus pass, and the queue consists of passes of the same model. So a champion
    that takes half as long per picture would have answered in half the time.
    """
    mine_s, other_s = comparison.challenger_s, comparison.champion_s
    ratio = min(1.0, other_s / mine_s) if mine_s else 1.0
    promised_s = slo.p95_ms / 1000.0
    return comparison.latency_s > promised_s >= comparison.latency_s * ratio


def _challenger_failed(comparison: Comparison, _terms: Terms) -> float:
    return float(bool(comparison.challenger_error))


CHECKS: Final = (
    RolloutCheck(
        name="agreement",
        question="Does it see the same things, with the same masks?",
        what="mean agreement",
        needs="both",
        setting="rollout.max_agreement_drop",
        side="least",
        threshold=lambda terms: terms.limits.agreement,
        measure=lambda seen, _: seen.agreement,
    ),
    RolloutCheck(
        name="count.fewer",
        question="Does it miss things?",
        what="mean count shift",
        needs="both",
        setting="rollout.max_count_shift",
        side="least",
        threshold=lambda terms: terms.limits.lowest_count_shift,
        measure=lambda seen, _: seen.count_shift,
        lowest=-1.0,
    ),
    RolloutCheck(
        name="count.more",
        question="Does it find things that are not there?",
        what="mean count shift",
        needs="both",
        setting="rollout.max_count_shift",
        side="most",
        threshold=lambda terms: terms.limits.highest_count_shift,
        measure=lambda seen, _: seen.count_shift,
        lowest=-1.0,
    ),
    RolloutCheck(
        name="class_flips",
        question="Does it give things other names?",
        what="share of instances named otherwise",
        needs="both",
        setting="rollout.max_class_flips",
        side="most",
        threshold=lambda terms: terms.limits.class_flips,
        measure=lambda seen, _: seen.flip_share,
    ),
    RolloutCheck(
        name="score",
        question="Is it less sure?",
        what="mean score shift",
        needs="both",
        setting="rollout.max_score_drop",
        side="least",
        threshold=lambda terms: -terms.rollout.max_score_drop,
        measure=lambda seen, _: seen.score_shift,
        lowest=-1.0,
    ),
    RolloutCheck(
        name="latency",
        question="Is it slower?",
        what="share of pictures that took over {rollout.max_latency_ratio:g} times as long",
        needs="both",
        setting="rollout.max_latency_ratio",
        side="most",
        threshold=lambda _: SLOW_SHARE,
        measure=lambda seen, terms: float(
            seen.challenger_s > terms.rollout.max_latency_ratio * seen.champion_s
        ),
        is_about_time=True,
    ),
    RolloutCheck(
        name="errors",
        question="Does it fail where the champion answers?",
        what="share of pictures only the champion answered",
        needs="tried",
        setting="rollout.max_error_percent",
        side="most",
        threshold=lambda terms: terms.rollout.max_error_percent / 100.0,
        measure=_challenger_failed,
        is_rare=True,
    ),
    RolloutCheck(
        name="slo.errors",
        question="Did its own answers keep the promise about errors?",
        what="share of its own requests it failed",
        needs="live",
        setting="serving.slo.max_error_percent",
        side="most",
        threshold=lambda terms: min(1.0, terms.slo.max_burn_rate * terms.slo.max_error_percent / 100.0),
        measure=_challenger_failed,
        is_rare=True,
    ),
    RolloutCheck(
        name="slo.latency",
        question="Did its own answers keep the promise about time?",
        what="share of its answers over {slo.p95_ms:g} ms by its own doing",
        needs="live",
        setting="serving.slo.p95_ms",
        side="most",
        threshold=lambda terms: min(1.0, terms.slo.max_burn_rate * P95_BUDGET),
        measure=lambda seen, terms: float(breaks_latency_promise(seen, terms.slo)),
        is_rare=True,
        is_about_time=True,
    ),
    RolloutCheck(
        name="feedback",
        question="What do people's corrections say?",
        what="mean drop by corrections",
        needs="corrections",
        setting="rollout.max_feedback_iou_drop",
        side="most",
        threshold=lambda terms: terms.rollout.max_feedback_iou_drop,
        measure=None,
        lowest=-1.0,
        is_rare=True,
    ),
)
_BY_NAME: Final = {check.name: check for check in CHECKS}


def find_check(made: Check) -> RolloutCheck | None:
    """Return the row that made a check; None for one that this release does not have."""
    return _BY_NAME.get(made.gate)
