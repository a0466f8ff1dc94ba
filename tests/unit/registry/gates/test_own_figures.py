"""Each gate about the candidate alone, at its limit and one step beyond it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluation.instances import IouTable
from maskloop.records.kinds import Outcome
from maskloop.settings.workspace_settings import GateSettings
from registry.gates.gate import Contest, Finding
from registry.gates.own_figures import (
    find_impossible_values,
    find_too_few_pictures,
    judge_class_iou,
    judge_false_positives,
    judge_latency,
    judge_mean_iou,
)
from tests.fakes.iou_tables import iou_table


def contest(table: IouTable, champion: IouTable | None = None, **changes: Any) -> Contest:
    latency_p95_ms = changes.pop("latency_p95_ms", None)
    return Contest(table, champion, GateSettings.model_validate(changes), latency_p95_ms, 0)


def impossible(table: IouTable) -> IouTable:
    return replace(table, iou_sum=table.iou_sum + 100.0)


# --- preconditions -------------------------------------------------------------------------------

TABLE = iou_table([[0.75, 0.5]] * 5)


@pytest.mark.parametrize(
    ("candidate", "champion", "blamed"),
    [
        (TABLE, None, []),
        (TABLE, TABLE, []),
        (impossible(TABLE), TABLE, ["candidate"]),
        (TABLE, impossible(TABLE), ["champion"]),
        (impossible(TABLE), impossible(TABLE), ["candidate"]),
    ],
)
def test_impossible_values_are_one_failure_that_names_whose_they_are(
    candidate: IouTable, champion: IouTable | None, blamed: list[str]
) -> None:
    found = list(find_impossible_values(contest(candidate, champion), 0.0))
    assert [finding.reason.partition("'s evaluation")[0] for finding in found] == [
        f"the {who}" for who in blamed
    ]
    assert all((finding.outcome, finding.measured) == ("fail", None) for finding in found)


def test_a_sum_of_ious_may_exceed_its_count_by_rounding_only() -> None:
    perfect = iou_table([[1.0]] * 5)
    for excess, is_possible in ((1e-9, True), (1e-3, False)):
        rounded = replace(perfect, iou_sum=perfect.iou_sum + excess)
        assert (list(find_impossible_values(contest(rounded), 0.0)) == []) is is_possible


@pytest.mark.parametrize(
    ("num_pictures", "num_instances", "said"),
    [
        (5, 1, None),
        (4, 1, "there are 4 test pictures with 4 instances; a verdict needs at least 5 pictures"),
        (1, 1, "there are 1 test picture with 1 instance; a verdict needs at least 5 pictures"),
        (9, 0, "there are 9 test pictures with 0 instances; a verdict needs at least 5 pictures"),
    ],
)
def test_a_verdict_needs_enough_pictures_and_an_instance(
    num_pictures: int, num_instances: int, said: str | None
) -> None:
    table = iou_table([[0.5]] * num_pictures, num_instances=num_instances)
    found = list(find_too_few_pictures(contest(table), 5.0))
    expected = [] if said is None else [Finding("inconclusive", num_pictures, f"{said} and one instance")]
    assert found == expected


# --- floors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("floor", "expected"), [(0.625, "pass"), (0.63, "fail")])
def test_a_mean_iou_at_its_floor_passes(floor: float, expected: Outcome) -> None:
    (found,) = judge_mean_iou(contest(TABLE), floor)
    assert found == Finding(expected, 0.625, f"the mean IoU of 2 classes is 0.625; the floor is {floor:.3f}")


def test_the_mean_of_one_critical_class_is_its_iou_whatever_else_has_no_instances() -> None:
    table = iou_table([[0.75, 0.5]] * 5, num_instances=np.array([[4, 0]] * 5))
    (found,) = judge_mean_iou(contest(table, critical_classes=["a"]), 0.7)
    assert (found.outcome, found.measured) == ("pass", 0.75)
    assert "of 1 class is" in found.reason


def test_a_mean_without_instances_of_critical_classes_names_just_these() -> None:
    table = iou_table([[0.5] * 3] * 5, num_instances=np.array([[0, 4, 0]] * 5))
    (found,) = judge_mean_iou(contest(table), 0.0)
    assert found == Finding(
        "inconclusive", None, "the mean IoU needs test instances of a, c, and there are none"
    )


@pytest.mark.parametrize(("floor", "expected"), [(0.5, "pass"), (0.51, "fail")])
def test_a_class_at_its_floor_passes_with_just_enough_instances(floor: float, expected: Outcome) -> None:
    table = iou_table([[0.5]] * 5, num_instances=4)
    (found,) = judge_class_iou(contest(table, min_instances=20), floor)
    reason = f"the IoU of a is 0.500 over 20 instances; the floor is {floor:.3f}"
    assert found == Finding(expected, 0.5, reason, "a", floor)


def test_a_class_is_held_to_its_own_floor_and_the_others_to_the_common_one() -> None:
    a, b = judge_class_iou(contest(TABLE, class_iou_floors={"a": 0.8}), 0.5)
    assert [(one.subject, one.outcome, one.required) for one in (a, b)] == [
        ("a", "fail", 0.8),
        ("b", "pass", 0.5),
    ]


@pytest.mark.parametrize(
    ("counts", "measured", "said"),
    [
        ([1, 0, 0, 0, 0], 0.5, "there is 1 test instance of a; 20 are needed"),
        ([4, 4, 4, 4, 3], 0.5, "there are 19 test instances of a; 20 are needed"),
        ([0] * 5, None, "there are 0 test instances of a; 20 are needed"),
    ],
)
def test_a_class_with_too_few_instances_is_inconclusive_with_what_was_measured(
    counts: list[int], measured: float | None, said: str
) -> None:
    table = iou_table([[0.5]] * 5, num_instances=np.array([[count] for count in counts]))
    (found,) = judge_class_iou(contest(table), 0.9)
    assert found == Finding("inconclusive", measured, said, "a", 0.9)


# --- budgets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "expected"), [(0.5, "pass"), (0.49, "fail")])
def test_false_positives_at_their_limit_pass(limit: float, expected: Outcome) -> None:
    table = iou_table([[0.75, 0.75]] * 5, num_instances=2, false_positives=1)
    (found,) = judge_false_positives(contest(table), limit)
    reason = f"10 false positives and 20 true positives: 0.50 false for each true one; the limit is {limit:g}"
    assert found == Finding(expected, 0.5, reason)


def test_without_a_true_positive_there_is_no_ratio_and_no_pass_even_without_a_false_one() -> None:
    (found,) = judge_false_positives(contest(iou_table([[0.25]] * 5)), 1.0)
    assert found == Finding("fail", None, "0 false positives and 0 true positives")


@pytest.mark.parametrize(("latency_p95_ms", "expected"), [(0.0, "pass"), (80.0, "pass"), (80.1, "fail")])
def test_a_latency_at_its_budget_passes(latency_p95_ms: float, expected: Outcome) -> None:
    (found,) = judge_latency(contest(TABLE, latency_p95_ms=latency_p95_ms), 80.0)
    assert (found.outcome, found.measured) == (expected, latency_p95_ms)


@pytest.mark.parametrize("latency_p95_ms", [None, float("inf"), float("nan"), -0.1])
def test_a_latency_that_is_no_time_is_not_reported_as_one(latency_p95_ms: float | None) -> None:
    (found,) = judge_latency(contest(TABLE, latency_p95_ms=latency_p95_ms), 80.0)
    assert found == Finding("fail", None, "no usable latency was measured; the budget is 80 ms")
