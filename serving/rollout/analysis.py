"""Is the challenger as good as the champion? Judged on the pictures both answered. Pure.

Every check is an always-valid test (`evaluation.sequential`), so it may be looked at after every picture. A
challenger that keeps every limit is stopped by any of the checks at any moment with a chance of at most
`rollout.error_rate`, shared out among them and the steps; one that breaks a limit goes on with no greater
chance.

Two kinds of checks: what every picture tells about must be shown to hold before the rollout goes on; what
is rare (failures, broken promises, people's corrections) must not have been shown to be violated, nor look
so at the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.agreement import PerfectChallenger
from evaluation.sequential import judge_mean, share_error_rate
from maskloop.records.kinds import AgreementMeasured, Check, Outcome, RolloutStarted
from maskloop.settings.settings import RolloutSettings, SloSettings
from serving.rollout.pairs import Comparison

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
    def undecided(self) -> tuple[Check, ...]:
        """Checks that must be shown to hold and were not yet, and rare ones that look violated so far."""
        return tuple(
            check
            for check in self.checks
            if check.outcome == "inconclusive" and (check.name not in RARE or _looks_violated(check))
        )

    @property
    def outcome(self) -> Outcome:
        """``fail`` if any check fails, ``pass`` if every check that must be shown to hold was."""
        if self.failed:
            return "fail"
        return "inconclusive" if self.undecided or not self.checks else "pass"


def _looks_violated(check: Check) -> bool:
    return check.measured is not None and check.required is not None and check.measured > check.required


def set_limits(measured: Sequence[AgreementMeasured], settings: RolloutSettings) -> Limits:
    """Set a rollout's limits so that a perfect challenger keeps them, with room for an honest one.

    Args:
        measured: How the champion differs from the truth, on each kind of pictures it was measured on; the
            kind it knows least sets the limits. Empty if nobody measured it.
        settings: The room.
    """
    if not measured:
        shift, flips = settings.max_count_shift, settings.max_class_flips
        return Limits(settings.min_agreement, -shift, shift, flips)
    lowest = min(one.lowest_count_shift for one in measured)
    highest = max(one.highest_count_shift for one in measured)
    return Limits(
        agreement=max(0.0, min(one.agreement for one in measured) - settings.max_agreement_drop),
        lowest_count_shift=max(-1.0, lowest - settings.max_count_shift),
        highest_count_shift=min(1.0, highest + settings.max_count_shift),
        class_flips=min(1.0, max(one.class_flips for one in measured) + settings.max_class_flips),
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
    *,
    num_before: int = 0,
) -> Analysis:
    """Judge a challenger by everything that was compared since its rollout began.

    What fails, fails by all pictures or by those of the present step alone: a challenger that was good for
    long and then is not would otherwise live long on its past.

    Args:
        comparisons: In order of arrival.
        feedback_drops: -1..1 for each picture a person corrected: the champion's agreement with the
            correction minus the challenger's.
        limits: That the rollout began with.
        settings: Error rate, minimum samples, the other limits.
        slo: What clients are promised.
        num_before: How many of the comparisons came before the present step.
    """
    step = comparisons[num_before:]
    checks = [
        _judge(question, question.values(comparisons), question.values(step), settings)
        for question in _questions(limits, settings, slo)
    ]
    feedback = _Question("feedback", "mean drop by corrections", -1.0, at_most=settings.max_feedback_iou_drop)
    checks.append(_judge(feedback, list(feedback_drops), (), settings))
    both = [one for one in comparisons if one.both_answered]
    return replace(_latencies(both), checks=tuple(checks), num_compared=len(comparisons))


def breaks_latency_promise(comparison: Comparison, slo: SloSettings) -> bool:
    """Tell whether an answer came too late, and would have come in time from the champion.

    Its time is queue and pass, and a queue is made of passes of the same model: a champion that takes half
    as long for a picture would have answered after half the time.
    """
    mine_s, other_s = comparison.challenger_s, comparison.champion_s
    ratio = min(1.0, other_s / mine_s) if mine_s else 1.0
    promised_s = slo.p95_ms / 1000.0
    return comparison.latency_s > promised_s >= comparison.latency_s * ratio


def _both(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [one for one in comparisons if one.both_answered]


def _tried(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [one for one in comparisons if not one.champion_error]


def _live(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [one for one in _tried(comparisons) if one.answered_by == "challenger"]


@dataclass(frozen=True)
class _Question:
    """A mean, and the side of a limit it should be on."""

    name: str
    what: str
    lower: float
    at_least: float | None = None
    at_most: float | None = None
    pick: Callable[[Sequence[Comparison]], Sequence[Comparison]] = _both
    measure: Callable[[Comparison], float] = lambda _comparison: 0.0

    def values(self, comparisons: Sequence[Comparison]) -> list[float]:
        """Return what is averaged, in order of arrival."""
        return [self.measure(one) for one in self.pick(comparisons)]


def _questions(limits: Limits, settings: RolloutSettings, slo: SloSettings) -> tuple[_Question, ...]:
    return (*_of_the_answers(limits, settings), *_of_the_errors(settings, slo), _of_the_promise(slo))


def _of_the_answers(limits: Limits, settings: RolloutSettings) -> tuple[_Question, ...]:
    ratio = settings.max_latency_ratio
    shift = _Question("count.fewer", "mean count shift", -1.0, measure=lambda c: c.count_shift)
    return (
        _Question("agreement", "mean agreement", 0.0, limits.agreement, measure=lambda c: c.agreement),
        replace(shift, at_least=limits.lowest_count_shift),
        replace(shift, name="count.more", at_most=limits.highest_count_shift),
        _Question(
            "class_flips",
            "share of instances named otherwise",
            0.0,
            at_most=limits.class_flips,
            measure=lambda c: c.flip_share,
        ),
        _Question(
            "score",
            "mean score shift",
            -1.0,
            at_least=-settings.max_score_drop,
            measure=lambda c: c.score_shift,
        ),
        _Question(
            "latency",
            f"share of pictures that took over {ratio:g} times as long",
            0.0,
            at_most=SLOW_SHARE,
            measure=lambda c: float(c.challenger_s > ratio * c.champion_s),
        ),
    )


def _of_the_errors(settings: RolloutSettings, slo: SloSettings) -> tuple[_Question, ...]:
    failed = _Question(
        "errors",
        "share of pictures only the champion answered",
        0.0,
        at_most=settings.max_error_percent / 100.0,
        pick=_tried,
        measure=lambda c: float(bool(c.challenger_error)),
    )
    of_its_own = replace(
        failed,
        name="slo.errors",
        what="share of its own requests it failed",
        at_most=min(1.0, slo.max_burn_rate * slo.max_error_percent / 100.0),
        pick=_live,
    )
    return failed, of_its_own


def _of_the_promise(slo: SloSettings) -> _Question:
    return _Question(
        "slo.latency",
        f"share of its answers over {slo.p95_ms:g} ms by its own doing",
        0.0,
        at_most=min(1.0, slo.max_burn_rate * P95_BUDGET),
        pick=_live,
        measure=lambda c: float(breaks_latency_promise(c, slo)),
    )


def _judge(
    question: _Question, values: Sequence[float], of_step: Sequence[float], settings: RolloutSettings
) -> Check:
    whole = np.asarray(values, dtype=np.float64)
    outcome = _decide(question, whole, settings)
    if outcome != "fail" and len(of_step) < len(values):
        by_step = _decide(question, np.asarray(of_step, dtype=np.float64), settings)
        if by_step == "fail":
            outcome, whole = "fail", np.asarray(of_step, dtype=np.float64)
    measured = float(whole.mean()) if whole.size else None
    side, limit = ("least", question.at_least) if question.at_most is None else ("most", question.at_most)
    seen = "nothing" if measured is None else f"{measured:.3f}"
    reason = f"{question.what}: {seen} over {whole.size} pictures, at {side} {limit:.3f} is required"
    return Check(name=question.name, outcome=outcome, measured=measured, required=limit, reason=reason)


def _decide(question: _Question, values: NDArray[np.float64], settings: RolloutSettings) -> Outcome:
    """Fail at a rate shared among all tests, so that together they keep it; pass at the rate itself.

    A challenger that breaks a limit must pass the very test of that limit to go on.
    """

    num_tests = NUM_CHECKS * (len(settings.steps_percent) + 2)  # all pictures, the shadow's, each step's
    found = judge_mean(
        values,
        at_least=question.at_least,
        at_most=question.at_most,
        lower=question.lower,
        upper=1.0,
        error_rate=share_error_rate(settings.error_rate, num_tests),
        pass_error_rate=settings.error_rate,
        min_samples=settings.min_step_pictures,
    )
    return "inconclusive" if found == "undecided" else found


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
