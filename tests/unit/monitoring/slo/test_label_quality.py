"""The budget of model quality: by labels, by an estimate without them, or unknown."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.records.kinds import (
    ChampionChanged,
    ClassQuality,
    DriftJudged,
    QualityEstimate,
    QualityMeasured,
)
from maskloop.settings.workspace_settings import Settings, parse_settings
from maskloop.state.loop_state import LoopState, Serving
from monitoring.slo.label_quality import QualityBudget, class_iou, find_quality_budgets, spent_since
from tests.fakes.quality import class_quality, measured
from tests.fakes.records import with_only

NOW = datetime(2026, 3, 30, tzinfo=UTC)


def state_with(*records: QualityMeasured, days_ago: int = 1, **more: Any) -> LoopState:
    champion = with_only(ChampionChanged, version="3", weights_digest="w")
    at = NOW - timedelta(days=days_ago)
    quality = tuple((at + timedelta(minutes=number), one) for number, one in enumerate(records))
    return LoopState(
        serving=(Serving(at, "rita", "cycle-1", champion),), quality=quality, data_tag="data-v2", **more
    )


def budget_of(state: LoopState, settings: Settings | None = None) -> QualityBudget:
    (budget,) = find_quality_budgets(state, settings or Settings(), NOW)
    return budget


def test_the_budget_is_what_the_mean_iou_may_lack() -> None:
    """(0.8 + 0.9) / 2 lacks 0.15 of 1, and 0.3 is allowed."""
    budget = budget_of(state_with(measured("w", class_quality("bolt", 0.8), class_quality("nut", 0.9))))
    assert budget.iou is not None
    assert budget.iou.value == pytest.approx(0.85)
    assert budget.left == pytest.approx(0.5)
    assert budget.worst == ("bolt", pytest.approx(0.8))
    assert (budget.source, budget.num_instances, budget.is_spent) == ("labels", 60, False)


def test_batches_of_labels_add_up() -> None:
    halves = [measured("w", class_quality("bolt", iou, num=10)) for iou in (0.6, 0.8)]
    budget = budget_of(state_with(*halves))
    assert budget.iou is not None
    assert budget.iou.value == pytest.approx(0.7)
    assert budget.left == pytest.approx(0.0)


@pytest.mark.parametrize(("spread", "is_spent"), [(0.01, True), (0.3, False)])
def test_a_figure_below_its_target_counts_as_spent_only_beyond_sampling_error(
    spread: float, is_spent: bool
) -> None:
    budget = budget_of(state_with(measured("w", class_quality("bolt", 0.65, spread=spread))))
    assert budget.left is not None
    assert budget.left < 0
    assert budget.is_spent == is_spent


def test_labels_of_another_model_and_from_before_the_window_do_not_count() -> None:
    bad = class_quality("bolt", 0.1)
    assert budget_of(state_with(measured("other", bad))).iou is None
    assert budget_of(state_with(measured("w", bad), days_ago=31)).iou is None
    assert budget_of(state_with(measured("w", bad), days_ago=29)).is_spent


def test_pictures_drawn_at_random_count_alone_if_they_are_enough() -> None:
    chosen, few, enough = (class_quality("bolt", iou, num=n) for iou, n in ((0.4, 30), (0.9, 18), (0.9, 20)))
    assert budget_of(state_with(measured("w", chosen, random=(few,)))).source == "labels"
    budget = budget_of(state_with(measured("w", chosen, random=(enough,))))
    assert budget.source == "labels of pictures drawn at random"
    assert not budget.is_spent


def test_only_critical_classes_count() -> None:
    state = state_with(measured("w", class_quality("bolt", 0.9), class_quality("nut", 0.1)))
    settings = parse_settings({"gates": {"critical_classes": ["bolt"]}})
    assert list(budget_of(state, settings).classes) == ["bolt"]


def test_too_few_labels_leave_the_budget_unknown_and_say_how_many_there_are() -> None:
    budget = budget_of(state_with(measured("w", class_quality("bolt", 0.1, num=12))))
    assert (budget.iou, budget.left, budget.is_spent) == (None, None, False)
    assert "20 labelled instances" in budget.sentence()
    assert "the most of a class is 12" in budget.sentence()
    assert "there is none" in budget_of(state_with()).sentence()


def estimate(low: float, value: float, high: float, **more: Any) -> QualityEstimate:
    about = {"class_name": "bolt", "metric": "mask_iou", "confidence": 0.95, "num_pictures": 200}
    return QualityEstimate.model_validate(about | {"low": low, "value": value, "high": high} | more)


def drift_with(*estimates: QualityEstimate, weights: str = "w") -> tuple[datetime, DriftJudged]:
    return NOW, with_only(DriftJudged, outcome="drift", weights_digest=weights, estimates=estimates)


def test_without_labels_the_estimate_counts_with_its_band() -> None:
    spent = budget_of(state_with(last_drift=drift_with(estimate(0.3, 0.4, 0.5))))
    assert (spent.source, spent.is_spent) == ("an estimate without labels", True)
    assert not budget_of(state_with(last_drift=drift_with(estimate(0.3, 0.6, 0.9)))).is_spent


def test_an_estimate_that_refused_or_is_of_another_model_or_figure_says_nothing() -> None:
    refused = estimate(0, 0, 0, refused_because="unlike what it knows")
    refused = refused.model_copy(update={"value": None, "low": None, "high": None})
    bad = estimate(0.1, 0.2, 0.3)
    assert budget_of(state_with(last_drift=drift_with(refused))).iou is None
    assert budget_of(state_with(last_drift=drift_with(bad, weights="other"))).iou is None
    precision = estimate(0.1, 0.2, 0.3, metric="mask_ap")
    assert budget_of(state_with(last_drift=drift_with(precision))).iou is None


def test_labels_decide_against_an_estimate() -> None:
    good = measured("w", class_quality("bolt", 0.9))
    assert not budget_of(state_with(good, last_drift=drift_with(estimate(0.1, 0.2, 0.3)))).is_spent


def test_a_budget_is_spent_since_the_first_labels_that_showed_it() -> None:
    good, bad = (measured("w", class_quality("bolt", iou)) for iou in (0.9, 0.2))
    state = state_with(good, bad, bad, bad)
    since = spent_since(budget_of(state), state, Settings())
    assert since == state.quality[1][0]
    kept = state_with(good)
    assert spent_since(budget_of(kept), kept, Settings()) is None


def test_nothing_is_promised_about_quality_while_nothing_serves() -> None:
    assert find_quality_budgets(LoopState(), Settings(), NOW) == ()


# --- the error of a class's IoU -----------------------------------------------------------------------


def sums_of(pictures: list[list[float]]) -> ClassQuality:
    sums, numbers = [sum(one) for one in pictures], [len(one) for one in pictures]
    return ClassQuality(
        class_name="bolt",
        num_pictures=len(pictures),
        num_instances=sum(numbers),
        iou_sum=sum(sums),
        iou_sum_squared=sum(one * one for one in sums),
        iou_sum_by_instances=sum(s * n for s, n in zip(sums, numbers, strict=True)),
        instances_squared=sum(n * n for n in numbers),
    )


def test_the_error_of_a_ratio_is_cochran_s() -> None:
    """Two pictures, 0.5 in one instance and 1.5 in two: R is 2/3, and each is off by 1/6."""
    band = class_iou([sums_of([[0.5], [0.7, 0.8]])])
    assert band is not None
    assert band.value == pytest.approx(2 / 3)
    assert band.high - band.value == pytest.approx(1.6449 * math.sqrt(2 * (2 / 36)) / 3)


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=2, max_size=12), st.integers(1, 11)
)
def test_the_figure_does_not_depend_on_how_labels_came_in_batches(
    pictures: list[list[float]], first: int
) -> None:
    whole = class_iou([sums_of(pictures)])
    batches = class_iou([sums_of(pictures[:first]), sums_of(pictures[first:])])
    assert whole is not None
    assert batches is not None
    assert (whole.value, whole.low) == pytest.approx((batches.value, batches.low), abs=1e-6)


def test_the_true_figure_lies_above_the_band_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    above = 0
    for _ in range(400):
        pictures = [
            list(random.uniform(level - 0.2, level + 0.2, 3)) for level in random.uniform(0.3, 0.7, 40)
        ]
        band = class_iou([sums_of(pictures)])
        assert band is not None
        above += band.high < 0.5
    assert 4 <= above <= 36  # 5 % of 400 are 20


def test_one_picture_says_nothing_about_its_error() -> None:
    assert class_iou([sums_of([[0.5, 0.6]])]) is None
