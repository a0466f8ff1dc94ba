"""A drifted window is an alarm only if the evidence over time allows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.references import POOLED
from monitoring.drift.sources import JudgedSources, judge_window
from monitoring.sequential.confirmation import (
    NEWCOMERS_SHARE,
    Watched,
    after_asking,
    confirm,
    level_of_newcomers,
)
from monitoring.sequential.detector import Detector
from monitoring.sequential.evidence import CREDIT, QUARTER, Alarm, begin_evidence, needed_evidence
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


# --- newcomers without evidence over time --------------------------------------------------------


def with_newcomers() -> JudgedSources:
    """Judge 200 scenes, every fifth of which is far out in three properties."""
    rng = np.random.default_rng(5)
    moved = dict.fromkeys(("contrast", "noise", "entropy"), 8.0)
    seen = [
        replace(one, features=dict(one.features) | moved) if number % 5 == 0 else one
        for number, one in enumerate(draw(rng, 200))
    ]
    return judge_window({POOLED: baseline_of(draw(rng, 150))}, window_of(seen), MonitoringSettings())


NEW = with_newcomers()


def test_newcomers_that_are_sure_enough_for_the_budget_are_an_alarm_alone() -> None:
    assert (NEW.deciding.verdict.outcome, NEW.deciding.newcomers_p_value < 1e-4) == ("drift", True)
    verdict = confirm(NEW, WINDOW, replace(watched(), newcomers_level=1e-4)).deciding.verdict
    assert verdict.outcome == "drift"
    assert "no evidence over time is needed" in verdict.reason


def test_newcomers_are_no_alarm_alone_before_there_is_budget_for_it() -> None:
    assert confirm(NEW, WINDOW, watched()).deciding.verdict.outcome == "inconclusive"


def test_newcomers_beside_a_reference_that_has_them_are_no_alarm() -> None:
    rng = np.random.default_rng(8)
    window = window_of([*draw(rng, 160), *draw(rng, 40, shift_sd=6.0)])
    near = baseline_of([*draw(rng, 120), *draw(rng, 30, shift_sd=6.0)])
    found = judge_window({POOLED: BASELINE, "both": near}, window, MonitoringSettings())
    assert found.deciding.newcomers_p_value == 1.0


def test_another_drift_than_newcomers_still_needs_evidence_over_time() -> None:
    held = confirm(DRIFTED, WINDOW, replace(watched(), newcomers_level=0.01))
    assert held.deciding.verdict.outcome == "inconclusive"


def test_what_newcomers_may_spend_grows_with_the_time_since_they_were_asked_about() -> None:
    detector = Detector("w1", "b", began=NOON)
    day = NEWCOMERS_SHARE * (timedelta(days=1) / QUARTER)
    later = NOON + timedelta(hours=12)
    assert level_of_newcomers(detector, 1.0, later) == pytest.approx(day / 2)
    assert level_of_newcomers(detector, 2.0, later) == pytest.approx(day)
    asked = replace(detector, newcomers_asked=NOON + timedelta(hours=6))
    assert level_of_newcomers(asked, 1.0, later) == pytest.approx(day / 4)
    assert level_of_newcomers(detector, 1.0, NOON + timedelta(days=900)) == pytest.approx(day)


@pytest.mark.parametrize("passed", [timedelta(days=-1), timedelta(0), timedelta(minutes=50)])
def test_too_little_to_be_asked_for_is_kept_for_later(passed: timedelta) -> None:
    assert level_of_newcomers(Detector("w1", "b", began=NOON), 1.0, NOON + passed) == 0.0
    assert level_of_newcomers(Detector("w1", "b"), 1.0, NOON) == 0.0


def test_asking_spends_whatever_comes_out_and_only_when_there_was_budget_to_ask() -> None:
    window = window_of(draw(np.random.default_rng(3), 120))
    quiet = judge_window({POOLED: BASELINE}, window, MonitoringSettings())
    able = replace(watched(), newcomers_level=1e-3)
    later = NOON + timedelta(hours=9)
    assert [after_asking(able, found, later).newcomers_asked for found in (NEW, quiet)] == [later, later]
    assert after_asking(watched(), NEW, later).newcomers_asked is None
    assert after_asking(able, DRIFTED, later) is able.detector  # of 60 scenes newcomers are not asked about


def test_a_detector_that_begins_anew_after_a_cycle_remembers_what_was_spent() -> None:
    before = replace(watched("camera 1").detector, newcomers_asked=NOON)
    assert before.after_cycle(NOON + timedelta(days=3)).newcomers_asked == NOON
