"""A window that drifts is an alarm only if the evidence over time allows it; what the detector says in words.

Windows keep a rate of false alarms for each window, so the more windows there are, the more false alarms. The
detector keeps a budget in time. A false alarm needs both to be wrong, so the budget holds for them together.

Newcomers, a part of the window unlike all known pictures, move each number by little, and the evidence over
time may never see them. So a window may be an alarm alone if the exact p-value of its newcomers is at most
what has come together since they were last asked about: `NEWCOMERS_SHARE` of the budget times the time that
has passed, which is known before the window is. Each time it is spent, whatever comes out. The expected
number of false alarms is at most the sum of what is spent, however windows overlap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from maskloop.wording import count
from monitoring.drift.sources import JudgedSources
from monitoring.samples.windows import Window
from monitoring.sequential.detector import Detector
from monitoring.sequential.evidence import CREDIT, LONGEST_GAP, QUARTER, Alarm, Evidence, needed_evidence
from monitoring.signals.newcomers import SUREST_P_VALUE

NEWCOMERS_SHARE: Final = 0.25
"""Of the budget; see `monitoring.sequential.evidence.EVIDENCE_SHARE`."""


@dataclass(frozen=True)
class Watched:
    """What the detector says now.

    Attributes:
        max_per_quarter: The budget of false alarms.
        detector: Its state.
        unwatched: Why a number of the pooled reference is not watched, by name.
        is_blind: No number of the pooled reference can be watched.
        newcomers_level: The p-value, 0..1, up to which newcomers are an alarm without evidence over time; 0
            if they are not asked about now.
    """

    max_per_quarter: float
    detector: Detector
    unwatched: Mapping[str, str] = field(default_factory=dict)
    is_blind: bool = False
    newcomers_level: float = 0.0

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """The alarm of each source that has one."""
        return self.detector.alarms

    @property
    def percent(self) -> float:
        """How far the strongest evidence has come on the way to an alarm, 0..100, on a logarithmic scale."""
        shares = [self._share(one) for one in self.detector.evidence.values()]
        return 100.0 * max(shares, default=0.0)

    def sentence(self) -> str:
        """Say it in plain words."""
        alarms = "alarm" if self.max_per_quarter == 1 else "alarms"
        budget = f"budget {self.max_per_quarter:g} false {alarms} a quarter"
        if self.is_blind:
            return (
                f"evidence over time: none, the reference has too few scenes ({budget} a quarter is not kept)"
            )
        detector = self.detector
        if detector.began is None:
            return f"evidence over time: no scene counted yet ({budget})"
        since = f"{count(detector.num_scenes, 'scene')} since {detector.began:%Y-%m-%d %H:%M} UTC"
        if self.alarms:
            said = "; ".join(alarm.sentence() for alarm in self.alarms)
            return f"evidence over time: {said} ({since}, {budget})"
        return f"evidence over time: {self.percent:.0f} % of what an alarm needs ({since}, {budget})"

    def tell_unwatched(self) -> str:
        """Say which numbers are not watched, and why; empty if all are."""
        return "; ".join(f"{name} is not watched: {why}" for name, why in self.unwatched.items())

    def _share(self, evidence: Evidence) -> float:
        if evidence.alarm:
            return 1.0
        needed = needed_evidence(self.max_per_quarter, len(evidence.values))
        strongest = max(evidence.share(needed) * needed, CREDIT)
        return min(1.0, math.log(strongest / CREDIT) / math.log(needed / CREDIT))


def level_of_newcomers(detector: Detector, max_per_quarter: float, now: datetime) -> float:
    """Return the p-value up to which newcomers are an alarm by themselves; 0 while it is too small to ask.

    Args:
        detector: Says when that was last asked, or when the first scene came.
        max_per_quarter: The budget.
        now: UTC. At most `LONGEST_GAP` counts, in case a clock jumps.
    """
    since = max((at for at in (detector.began, detector.newcomers_asked) if at), default=now)
    passed = min(max(now - since, timedelta(0)), LONGEST_GAP)
    level = NEWCOMERS_SHARE * max_per_quarter * (passed / QUARTER)
    return level if level >= SUREST_P_VALUE else 0.0


def after_asking(watched: Watched, found: JudgedSources, now: datetime) -> Detector:
    """Return the detector after a window was judged: it remembers when newcomers were asked about. Pure.

    Args:
        watched: What it said before.
        found: The verdict, not confirmed yet.
        now: UTC.
    """
    was_asked = watched.newcomers_level > 0.0 and not found.sources and found.deciding.verdict.newcomers
    return replace(watched.detector, newcomers_asked=now) if was_asked else watched.detector


def confirm(found: JudgedSources, window: Window, watched: Watched | None) -> JudgedSources:
    """Make a drifted window inconclusive as long as the evidence over time does not keep the budget. Pure.

    Args:
        found: What was found in the window and its sources.
        window: The window.
        watched: What the detector says; None without a budget.
    """
    verdict = found.deciding.verdict
    if watched is None or verdict.outcome != "drift":
        return found
    if watched.is_blind:
        reason = f"{verdict.reason}; {watched.sentence()}"
        return replace(found, deciding=replace(found.deciding, verdict=replace(verdict, reason=reason)))
    drifted = {one.source for one in found.drifted} or {sample.source for sample in window.samples}
    if any(alarm.source in drifted for alarm in watched.alarms):
        return found
    if not found.sources and found.deciding.newcomers_p_value <= watched.newcomers_level:
        reason = f"{verdict.reason}, so surely that no evidence over time is needed"
        return replace(found, deciding=replace(found.deciding, verdict=replace(verdict, reason=reason)))
    reason = (
        f"{verdict.reason}; such windows also come without a change, and {watched.sentence()}: no alarm yet"
    )
    held = replace(verdict, outcome="inconclusive", reason=reason, cause="")
    return replace(found, deciding=replace(found.deciding, verdict=held))
