"""A drifted window is an alarm only if the evidence over time allows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.references import POOLED
from monitoring.drift.sources import judge_window
from monitoring.sequential.confirmation import Watched, confirm
from monitoring.sequential.detector import Detector
from monitoring.sequential.evidence import CREDIT, Alarm, begin_evidence, needed_evidence
from monitoring.sequential.scoring import fit_scorer
from tests.fakes.drift_data import NOON, baseline_of, draw, window_of

BASELINE = baseline_of(draw(np.random.default_rng(0), 80))
SCORER = fit_scorer(BASELINE)
WINDOW = window_of(draw(np.random.default_rng(1), 60, shift_sd=2.0))
DRIFTED = judge_window({POOLED: BASELINE}, WINDOW, MonitoringSettings())


def watched(alarm_in: str = "", *, level: float = CREDIT) -> Watched:
    """Return what a detector says that has counted 40 scenes."""
    alarm = Alarm(alarm_in, NOON, "brightness", "rises", 12) if alarm_in else None
    begun = begin_evidence("camera 1", SCORER, credit=level)
    evidence = replace(begun, num_scenes=40, alarm=alarm)
    clock = NOON + timedelta(days=2)
    return Watched(1.0, Detector("w1", BASELINE.digest, {"camera 1": evidence}, clock=clock, began=NOON))


def test_a_drifted_window_without_evidence_over_time_is_inconclusive_and_says_why() -> None:
    verdict = confirm(DRIFTED, WINDOW, watched()).deciding.verdict
    assert (DRIFTED.deciding.verdict.outcome, verdict.outcome, verdict.cause) == ("drift", "inconclusive", "")
    assert (
        "0 % of what an alarm needs (40 scenes since 2026-03-01 12:00 UTC, budget 1 false alarm a quarter)"
        in (verdict.reason)
    )


def test_a_drifted_window_of_a_source_with_an_alarm_is_drift() -> None:
    assert confirm(DRIFTED, WINDOW, watched("camera 1")) is DRIFTED


def test_an_alarm_of_another_source_confirms_nothing() -> None:
    assert confirm(DRIFTED, WINDOW, watched("camera 9")).deciding.verdict.outcome == "inconclusive"


def test_without_a_budget_each_window_counts_by_itself() -> None:
    assert confirm(DRIFTED, WINDOW, None) is DRIFTED


def test_a_reference_too_small_to_be_watched_holds_no_window_back_and_says_so() -> None:
    blind = Watched(1.0, Detector("w1", "b"), is_blind=True)
    verdict = confirm(DRIFTED, WINDOW, blind).deciding.verdict
    assert verdict.outcome == "drift"
    assert "the reference has too few scenes" in verdict.reason


def test_a_quiet_window_stays_quiet_whatever_the_evidence() -> None:
    window = window_of(draw(np.random.default_rng(3), 60))
    quiet = judge_window({POOLED: BASELINE}, window, MonitoringSettings())
    assert confirm(quiet, window, watched("camera 1")) is quiet


def test_the_way_to_an_alarm_is_told_on_a_logarithmic_scale() -> None:
    needed = needed_evidence(1.0, len(SCORER.columns))
    assert watched().percent == pytest.approx(0.0, abs=1e-9)
    assert round(watched(level=float(np.sqrt(CREDIT * needed))).percent) == 50
    assert watched("camera 1").percent == 100.0


def test_the_evidence_is_told_in_plain_words_before_the_first_scene_too() -> None:
    nothing = Watched(2.0, Detector("w1", "b"), {"embedding": "12 reference scenes have one, 40 are needed"})
    assert nothing.sentence() == "evidence over time: no scene counted yet (budget 2 false alarms a quarter)"
    assert nothing.tell_unwatched() == (
        "embedding is not watched: 12 reference scenes have one, 40 are needed"
    )
    assert "brightness rises in pictures of camera 1, certain since 2026-03-01 12:00 UTC" in (
        watched("camera 1").sentence()
    )
