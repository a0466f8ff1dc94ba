"""What a candidate lost, in figures, bounds and words. IoUs are binary fractions: limits are met exactly."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluation.bootstrap import paired_drop
from evaluation.instances import IouTable
from maskloop.records.kinds import Outcome
from maskloop.settings.workspace_settings import GateSettings
from registry.gates.drops import (
    SMALL_SOURCES,
    Drop,
    allowance_in_words,
    amount,
    describe_change,
    measure_drops,
)
from tests.fakes.iou_tables import iou_table, simulated_pair

DROP = Drop("", "nut", 0.7, 0.8, 0.1, 0.05, 0.15, 40, 24)


def gates(**changes: Any) -> GateSettings:
    return GateSettings.model_validate({"resamples": 200, "max_class_iou_drop": 0.25, **changes})


def same_everywhere(iou: float, num_pictures: int = 8, *, instances: int = 4) -> IouTable:
    """One class of one IoU in every picture: the interval has no width."""
    return iou_table([[iou]] * num_pictures, num_instances=instances)


# --- the rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0.5, "pass"), (0.25, "pass"), (0.125, "fail"), (0.2, "fail")],
)
def test_a_drop_as_large_as_the_limit_passes_and_a_larger_one_fails(limit: float, expected: Outcome) -> None:
    mean, nut = measure_drops(
        same_everywhere(0.5), same_everywhere(0.75), gates(max_class_iou_drop=limit), seed=0
    )
    assert (nut.drop, nut.low, nut.high) == (0.25, 0.25, 0.25)
    assert (mean.outcome, nut.outcome) == (expected, expected)


@pytest.mark.parametrize(("min_pictures", "expected"), [(8, "pass"), (9, "inconclusive")])
def test_no_loss_on_too_few_pictures_is_inconclusive(min_pictures: int, expected: Outcome) -> None:
    same = same_everywhere(0.75)
    drops = measure_drops(same, same, gates(min_pictures=min_pictures), seed=0)
    assert [drop.outcome for drop in drops] == [expected, expected]


@pytest.mark.parametrize(("min_instances", "expected"), [(32, "fail"), (33, "inconclusive")])
def test_a_certain_loss_over_too_few_instances_is_inconclusive(min_instances: int, expected: Outcome) -> None:
    drops = measure_drops(
        same_everywhere(0.25), same_everywhere(0.75), gates(min_instances=min_instances), seed=0
    )
    assert [(drop.num_instances, drop.outcome) for drop in drops] == [(32, expected)] * 2


def test_a_loss_of_exactly_the_limit_on_too_few_pictures_is_no_failure() -> None:
    drops = measure_drops(same_everywhere(0.5), same_everywhere(0.75), gates(min_pictures=9), seed=0)
    assert [(drop.low, drop.outcome) for drop in drops] == [(0.25, "inconclusive")] * 2


def test_without_any_instance_the_mean_is_unknown_and_inconclusive() -> None:
    nothing = same_everywhere(0.75, instances=0)
    (mean,) = measure_drops(nothing, nothing, gates(), seed=0)
    assert (mean.is_mean, mean.is_known, mean.outcome) == (True, False, "inconclusive")
    assert math.isnan(mean.candidate_iou)


# --- the bounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("sources", "num_drops"), [((), 5), (("a",) * 40 + ("b",) * 60, 15)])
def test_bounds_are_one_sided_and_the_lower_one_shares_its_error_among_all_drops(
    sources: tuple[str, ...], num_drops: int
) -> None:
    """Four classes and their mean, in all pictures and in each source: 5, or 15 with two sources."""
    candidate, champion = simulated_pair(np.random.default_rng(3), drop=0.1, sources=sources)
    mean, first, *_ = measure_drops(candidate, champion, gates(resamples=1000), seed=4)
    upper = paired_drop(candidate, champion, resamples=1000, confidence=0.9, seed=4)
    lower = paired_drop(candidate, champion, resamples=1000, confidence=1 - 0.1 / num_drops, seed=4)
    assert (mean.drop, mean.low, mean.high) == pytest.approx(
        (upper.mean_drop, lower.mean_low, upper.mean_high)
    )
    assert (first.drop, first.low, first.high) == pytest.approx((upper.drop[0], lower.low[0], upper.high[0]))
    assert lower.mean_low < upper.mean_low


# --- the groups ----------------------------------------------------------------------------------


def test_all_pictures_come_first_and_then_each_source_by_name_with_its_mean_before_its_classes() -> None:
    table = iou_table([[0.5, 0.75]] * 12, sources=("old",) * 6 + ("new",) * 6)
    drops = measure_drops(table, table, gates(), seed=0)
    assert [(drop.source, drop.name) for drop in drops] == [
        (source, name) for source in ("", "new", "old") for name in ("", "a", "b")
    ]
    assert [drop.candidate_iou for drop in drops[:3]] == [0.625, 0.5, 0.75]


@pytest.mark.parametrize(("size", "group"), [(5, "tiny"), (4, SMALL_SOURCES)])
def test_a_source_of_just_enough_pictures_stands_alone(size: int, group: str) -> None:
    table = iou_table([[0.5]] * (6 + size), sources=("big",) * 6 + ("tiny",) * size)
    drops = measure_drops(table, table, gates(min_pictures=5), seed=0)
    assert {drop.source for drop in drops} == {"", "big", group}


def test_sources_that_are_all_too_small_are_all_pictures_and_not_judged_twice() -> None:
    table = iou_table([[0.5]] * 6, sources=("a", "b") * 3)
    assert {drop.source for drop in measure_drops(table, table, gates(min_pictures=5), seed=0)} == {""}


# --- the words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "the IoU of nut fell by 0.100 (change between -0.150 and -0.050)"),
        ({"name": ""}, "the mean IoU fell by 0.100 (change between -0.150 and -0.050)"),
        (
            {"source": "belt 2", "drop": -0.1, "low": -0.15, "high": -0.05},
            "the IoU of nut on belt 2 rose by 0.100 (change between +0.050 and +0.150)",
        ),
        ({"drop": 0.0, "low": -0.1}, "the IoU of nut did not change (change between -0.150 and +0.100)"),
        ({"drop": 1e-5}, "the IoU of nut fell by less than 0.001 (change between -0.150 and -0.050)"),
        ({"high": math.nan}, "the change of the IoU of nut is not known"),
        ({"name": "", "source": "b", "drop": math.inf}, "the change of the mean IoU on b is not known"),
    ],
)
def test_a_change_is_said_as_candidate_minus_champion_with_its_interval(
    change: dict[str, Any], said: str
) -> None:
    assert describe_change(replace(DROP, **change)) == said


@pytest.mark.parametrize(
    ("drop", "written"), [(0.0006, "0.001"), (0.0004, "less than 0.001"), (-0.25, "0.250"), (1.0, "1.000")]
)
def test_an_amount_has_no_sign_and_is_never_zero(drop: float, written: str) -> None:
    assert amount(drop) == written


def test_the_interval_may_reach_to_twice_the_allowance() -> None:
    assert "up to 0.030 as measured and up to 0.060 at the lower end" in allowance_in_words(0.03)
