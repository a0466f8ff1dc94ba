"""The champion's known sources of pictures, each a reference that production is compared with.

A champion retrained for a second camera knows two. Production from either camera alone is not drift, although
it differs from the two pooled. So each source with enough pictures is a reference of its own, beside the
pooled one, and a window has drifted only if it differs from every reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline
from monitoring.drift.verdict import DriftVerdict, judge_drift
from monitoring.samples.windows import Window

POOLED: Final = "all sources"


@dataclass(frozen=True)
class ClosestReference:
    """The reference a window is most like, and the verdict against it."""

    name: str
    baseline: Baseline
    verdict: DriftVerdict


def judge_against_references(
    references: Mapping[str, Baseline], window: Window, settings: MonitoringSettings, *, seed: int = 0
) -> ClosestReference:
    """Judge a window against every reference and keep the mildest verdict that says something.

    Asking several references can only make an alarm rarer, so the false-alarm rate holds. A quiet verdict
    against any of them is quiet; otherwise an inconclusive one against the pooled reference stays
    inconclusive; otherwise the drift against the reference with the fewest drifted signals is reported.

    Args:
        references: By source name, with the pooled one under `POOLED`.
        window: Of the champion's newest samples.
        settings: Thresholds.
        seed: For permutations.
    """
    judged = [
        ClosestReference(name, baseline, judge_drift(baseline, window, settings, seed=seed))
        for name, baseline in references.items()
    ]
    quiet = [closest for closest in judged if closest.verdict.outcome == "quiet"]
    if quiet:
        return min(quiet, key=lambda closest: closest.verdict.num_drifted)
    pooled = next(closest for closest in judged if closest.name == POOLED)
    drifted = [closest for closest in judged if closest.verdict.outcome == "drift"]
    if pooled.verdict.outcome == "inconclusive" or not drifted:
        return pooled
    return min(drifted, key=lambda closest: closest.verdict.num_drifted)
