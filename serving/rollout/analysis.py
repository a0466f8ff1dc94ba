"""Is the challenger as good as the champion? Judged on the pictures both answered. Pure.

Every check is an always-valid test (`evaluation.sequential`), so it may be evaluated after every picture. The
probability that any check ever stops a challenger within all limits is at most `rollout.error_rate`, which is
divided among the checks and steps. A challenger that breaks a limit proceeds with at most the same
probability.

There are two kinds of checks. Those that every picture informs must be shown to hold before the rollout
proceeds. Those about rare events (failures, broken latency promises, people's corrections) must not be shown
to be violated, nor have a measured value beyond the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.agreement import PerfectChallenger
from evaluation.sequential import judge_mean, share_error_rate
from maskloop.records.kinds import AgreementMeasured, Check, Outcome
from maskloop.settings.slo_settings import SloSettings
from maskloop.settings.workspace_settings import RolloutSettings
from serving.rollout.checks import CHECKS, RolloutCheck, RolloutLimits, Terms, find_check
from serving.rollout.pairs import Comparison


@dataclass(frozen=True)
class Analysis:
    """The evidence about a challenger.

    Attributes:
        checks: One line each; ``inconclusive`` where the pictures cannot tell yet.
        num_compared: Pictures both were asked about.
        champion_p50_ms: Median of what the champion took; 0 before there are any, like the others.
        champion_p95_ms: 95th percentile.
        challenger_p50_ms: Median of what the challenger took for the same pictures.
        challenger_p95_ms: 95th percentile.
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
            if check.outcome == "inconclusive" and (not _is_rare(check) or _looks_violated(check))
        )

    @property
    def outcome(self) -> Outcome:
        """``fail`` if any check fails, ``pass`` if every check that must be shown to hold was."""
        if self.failed:
            return "fail"
        return "inconclusive" if self.undecided or not self.checks else "pass"


def _is_rare(check: Check) -> bool:
    row = find_check(check)
    return row is not None and row.is_rare


def _looks_violated(check: Check) -> bool:
    return check.measured is not None and check.required is not None and check.measured > check.required


def set_limits(measured: Sequence[AgreementMeasured], settings: RolloutSettings) -> RolloutLimits:
    """Set a rollout's limits so that a perfect challenger keeps them, with room for an honest one.

    Args:
        measured: How the champion differs from the truth, on each kind of pictures it was measured on; the
            kind it knows least sets the limits. Empty if it was not measured.
        settings: The room.
    """
    if not measured:
        shift, flips = settings.max_count_shift, settings.max_class_flips
        return RolloutLimits(settings.min_agreement, -shift, shift, flips)
    lowest = min(one.lowest_count_shift for one in measured)
    highest = max(one.highest_count_shift for one in measured)
    return RolloutLimits(
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
    limits: RolloutLimits,
    settings: RolloutSettings,
    slo: SloSettings,
    *,
    num_before: int = 0,
    table: Sequence[RolloutCheck] = CHECKS,
) -> Analysis:
    """Judge a challenger by everything that was compared since its rollout began.

    A check fails on all pictures or on those of the present step alone: otherwise a challenger that becomes
    worse late would be protected by its earlier pictures.

    Args:
        comparisons: In order of arrival.
        feedback_drops: -1..1 for each picture a person corrected: the champion's agreement with the
            correction minus the challenger's.
        limits: That the rollout began with.
        settings: Error rate, minimum samples, the other limits.
        slo: What clients are promised.
        num_before: How many of the comparisons came before the present step.
        table: What is asked; the error rate is shared among its rows.
    """
    terms, step = Terms(limits, settings, slo), comparisons[num_before:]
    checks = [
        _judge(
            row,
            row.values(comparisons, feedback_drops, terms),
            row.values(step, (), terms),  # corrections come late: they are not counted by step
            terms,
            len(table),
        )
        for row in table
    ]
    both = [one for one in comparisons if one.both_answered]
    return replace(_latencies(both), checks=tuple(checks), num_compared=len(comparisons))


def _judge(
    row: RolloutCheck, values: Sequence[float], of_step: Sequence[float], terms: Terms, num_checks: int
) -> Check:
    whole = np.asarray(values, dtype=np.float64)
    outcome = _decide(row, whole, terms, num_checks)
    if outcome != "fail" and len(of_step) < len(values):
        by_step = _decide(row, np.asarray(of_step, dtype=np.float64), terms, num_checks)
        if by_step == "fail":
            outcome, whole = "fail", np.asarray(of_step, dtype=np.float64)
    measured = float(whole.mean()) if whole.size else None
    limit = row.threshold(terms)
    seen = "nothing" if measured is None else f"{measured:.3f}"
    told = f"{row.describe(terms)}: {seen} over {whole.size} pictures"
    reason = f"{told}, at {row.side} {limit:.3f} is required"
    return Check(
        name=row.name, outcome=outcome, measured=measured, required=limit, reason=reason, gate=row.name
    )


def _decide(row: RolloutCheck, values: NDArray[np.float64], terms: Terms, num_checks: int) -> Outcome:
    """Fail at a rate shared among all tests, so that together they keep it; pass at the rate itself.

    A challenger that breaks a limit must pass the very test of that limit to go on.
    """
    settings, limit = terms.rollout, row.threshold(terms)
    num_tests = num_checks * (len(settings.steps_percent) + 2)  # all pictures, the shadow's, each step's
    found = judge_mean(
        values,
        at_least=limit if row.side == "least" else None,
        at_most=limit if row.side == "most" else None,
        lower=row.lowest,
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
