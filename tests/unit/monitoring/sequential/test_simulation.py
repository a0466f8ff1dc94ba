"""False alarms keep the budget on made-up production, and larger changes are seen sooner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from maskloop.settings.workspace_settings import RetrainingSettings
from monitoring.sequential.evidence import CREDIT, add_scene, begin_evidence, needed_evidence
from monitoring.sequential.findings import Simulation, as_days, measure_delay, quarter_days
from monitoring.sequential.policy import Quarter, run_quarters
from monitoring.sequential.scoring import Scorer, fit_scorer
from monitoring.sequential.shifts import PICTURE_SHIFTS
from monitoring.sequential.simulation import NEVER, Pictures, make_groups, simulate_runs
from tests.fakes.drift_data import NOON, baseline_of, draw, noise_picture

USUAL = draw(np.random.default_rng(0), 60)
SCORER = fit_scorer(baseline_of(USUAL))


def simulate(groups: Sequence[Pictures], **wanted: Any) -> np.ndarray:
    """Run 60 times over 400 scenes, 100 a day, without a change and with one false alarm a quarter."""
    usual = {"num_runs": 60, "num_scenes": 400, "changes_at": 0, "changed_share": 0.0, "seed": 0}
    return simulate_runs(groups, **{**usual, "scenes_per_day": 100.0, "max_per_quarter": 1.0, **wanted})


def test_false_alarms_keep_the_budget() -> None:
    """Ten alarms a quarter are allowed, so at most half of the runs of a tenth of a quarter may have one."""
    groups = make_groups(SCORER, USUAL, USUAL)
    found = simulate(groups, num_runs=100, num_scenes=913, max_per_quarter=10.0)
    assert 0 < (found != NEVER).sum() <= 50


def test_a_change_is_seen_sooner_the_larger_it_is_and_the_more_pictures_have_it() -> None:
    medians = []
    for shift_sd, share in ((2.0, 1.0), (1.0, 1.0), (4.0, 0.2)):
        changed = draw(np.random.default_rng(0), 60, shift_sd=shift_sd)
        groups = make_groups(SCORER, USUAL, changed)
        found = simulate(groups, changes_at=100, changed_share=share, seed=1)
        delay = measure_delay("x", found, changes_at=100, scenes_per_day=100.0)
        assert delay.median_scenes is not None
        medians.append(delay.median_scenes)
    assert medians == sorted(medians)
    assert medians[0] <= 8


def test_the_same_seed_gives_the_same_runs_and_progress_reaches_the_end() -> None:
    told: list[tuple[int, int]] = []
    groups = make_groups(SCORER, USUAL, USUAL)
    wanted = {"num_runs": 250, "num_scenes": 60, "scenes_per_day": 10.0, "max_per_quarter": 20.0, "seed": 3}
    first, second = (simulate(groups, **wanted, progress=lambda *one: told.append(one)) for _ in range(2))
    assert np.array_equal(first, second)
    assert told[-1] == (250, 250)


def test_a_simulated_run_is_what_the_detector_does_scene_by_scene() -> None:
    """A reference that is one value n times leaves nothing to draw but lots; another value is above all."""
    groups = [Pictures(np.zeros((30, 1)), np.ones((5, 1)))]
    found = simulate(groups, num_runs=3, num_scenes=40, changed_share=1.0, scenes_per_day=24.0)
    column = fit_scorer(baseline_of(USUAL)).columns[0]
    scorer = Scorer(
        "r", (type(column)("x", np.zeros(30), np.sort(np.random.default_rng(0).random(30))),), ("x",), None
    )
    evidence = begin_evidence("camera", scorer, credit=CREDIT / 2)
    while evidence.alarm is None:
        evidence = add_scene(
            evidence,
            scorer,
            np.array([30]),
            at=NOON,
            gap=timedelta(hours=1),
            needed=needed_evidence(1.0, 1),
        )
    assert found.tolist() == [evidence.num_scenes] * 3


def test_missing_values_and_a_constant_column_are_simulated_too() -> None:
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[::2, 0], values[:, 1] = np.nan, 7.0
    found = simulate([Pictures(values, values)], num_runs=20, num_scenes=200)
    assert (found == NEVER).sum() >= 19


# --- sums ----------------------------------------------------------------------------------------


def test_runs_with_an_alarm_before_the_change_do_not_count_and_unseen_changes_have_no_median() -> None:
    delay = measure_delay(
        "x", np.array([50, 110, 130, NEVER, NEVER, NEVER]), changes_at=100, scenes_per_day=10.0
    )
    assert (delay.num_runs, delay.seen_percent, delay.median_scenes, delay.median_days) == (
        5,
        40.0,
        None,
        None,
    )
    seen = measure_delay("x", np.array([110, 120, 130]), changes_at=100, scenes_per_day=10.0)
    assert (seen.median_scenes, seen.slow_scenes, seen.median_days) == (20.0, 30.0, 2.0)
    assert as_days(np.array([5, NEVER]), 10.0) == (0.5, None)


def simulation(num_with_alarm: int, *, budget: float = 1.0) -> Simulation:
    quarters = tuple(Quarter(int(number < num_with_alarm), 0, 0.0) for number in range(100))
    return Simulation(budget, 50, 20, 100.0, None, quarters, (), (), 1.0, 1000)


def test_the_budget_is_kept_if_the_measured_rates_are_at_most_the_stated_ones() -> None:
    kept, broken = simulation(20), simulation(90)
    assert (kept.is_kept, broken.is_kept) == (True, False)
    assert kept.band[0] < 20.0 < kept.band[1]
    assert "0.20 false alarms a quarter, stated at most 1 (kept)" in kept.sentences()[0]
    assert "NOT KEPT" in broken.sentences()[0]
    assert simulation(0).band[0] == 0.0


# --- policy --------------------------------------------------------------------------------------


def quarters_of(*alarms: float | None, **settings: float) -> list[Quarter]:
    """Run one quarter of 90 days; the first alarm begins it, the rest follow. A retraining takes a day."""
    chosen = RetrainingSettings().model_copy(update={"cooldown_hours": 0.0, **settings})
    return run_quarters(alarms, chosen, num_quarters=1, quarter_days=90.0, training_hours=24.0)


def test_each_alarm_retrains_and_the_next_run_begins_after_it() -> None:
    assert quarters_of(10.0, 20.0, None) == [Quarter(2, 2, 0.0)]
    assert quarters_of(None) == [Quarter(0, 0, 0.0)]
    assert quarters_of(50.0, 45.0) == [Quarter(1, 1, 0.0)]


def test_an_alarm_waits_for_the_cooldown_the_cycles_of_a_week_and_the_training_hours() -> None:
    assert quarters_of(10.0, 0.5, None, cooldown_hours=48.0) == [Quarter(2, 2, 1.5)]
    assert quarters_of(10.0, 1.0, None, max_cycles_per_week=1) == [Quarter(2, 2, 5.0)]
    assert quarters_of(10.0, 1.0, None, max_training_hours_per_month=24.0) == [Quarter(2, 2, 29.0)]


def test_a_trigger_that_would_wait_past_the_quarter_is_no_retraining_of_it() -> None:
    assert quarters_of(10.0, 60.0, 2.0, None, max_training_hours_per_month=24.0)[0].num_retrainings == 2
    assert quarters_of(85.0, 1.0, None, cooldown_hours=240.0) == [Quarter(2, 1, 3.0)]


def test_a_quarter_is_a_fourth_of_a_year() -> None:
    assert quarter_days() * 4 == pytest.approx(365.25)


# --- changes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", PICTURE_SHIFTS, ids=lambda shift: shift.name)
def test_each_change_of_a_picture_keeps_its_size_and_changes_it(shift) -> None:
    picture = noise_picture(np.random.default_rng(0), mean=120.0, sd=30.0)
    changed = shift.change(picture, np.random.default_rng(1))
    assert (changed.shape, changed.dtype) == (picture.shape, np.uint8)
    assert not np.array_equal(changed, picture)
