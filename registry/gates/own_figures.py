"""Gates about the candidate by itself: can it be judged at all, and does it keep the floors and budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from evaluation.instances import IouTable
from maskloop.wording import count
from registry.gates.gate import Contest, Finding, Gate

_ROUNDING: Final = 1e-6
"""A sum of float IoUs may exceed its count by this much."""


def find_impossible_values(contest: Contest, _limit: float) -> Iterator[Finding]:
    """Find figures no evaluation can give; they would otherwise slip through a comparison."""
    tables = {"candidate": contest.candidate, "champion": contest.champion}
    wrong = [who for who, table in tables.items() if table is not None and not _is_possible(table)]
    for who in wrong[:1]:
        reason = f"the {who}'s evaluation holds values that are not finite or not possible"
        yield Finding("fail", None, reason)


def find_too_few_pictures(contest: Contest, min_pictures: float) -> Iterator[Finding]:
    """Find a test set that no verdict can be based on."""
    table = contest.candidate
    num_pictures, num_instances = len(table.picture_ids), int(table.num_instances.sum())
    if num_pictures >= min_pictures and num_instances > 0:
        return
    reason = (
        f"there are {count(num_pictures, 'test picture')} with {count(num_instances, 'instance')}; a verdict "
        f"needs at least {count(int(min_pictures), 'picture')} and one instance"
    )
    yield Finding("inconclusive", num_pictures, reason)


def judge_mean_iou(contest: Contest, floor: float) -> Iterator[Finding]:
    """Compare the mean IoU of the critical classes with its floor."""
    table = contest.candidate
    critical = contest.gates.critical_classes or table.class_names
    class_iou = dict(zip(table.class_names, table.class_iou().tolist(), strict=True))
    without = [name for name in critical if math.isnan(class_iou[name])]
    if without:
        reason = f"the mean IoU needs test instances of {', '.join(without)}, and there are none"
        yield Finding("inconclusive", None, reason)
        return
    mean = math.fsum(class_iou[name] for name in critical) / len(critical)
    classes = count(len(critical), "class", "classes")
    reason = f"the mean IoU of {classes} is {mean:.3f}; the floor is {floor:.3f}"
    yield Finding("pass" if mean >= floor else "fail", mean, reason)


def judge_class_iou(contest: Contest, min_class_iou: float) -> Iterator[Finding]:
    """Compare each class's IoU with its floor; too few instances are inconclusive."""
    table, min_instances = contest.candidate, contest.gates.min_instances
    class_iou, num_instances = table.class_iou(), table.num_instances.sum(axis=0)
    for index, name in enumerate(table.class_names):
        iou, num = float(class_iou[index]), int(num_instances[index])
        floor = contest.gates.class_iou_floors.get(name, min_class_iou)
        if num < min_instances:
            measured = None if math.isnan(iou) else iou
            there_are = f"there {'is' if num == 1 else 'are'} {count(num, 'test instance')}"
            reason = f"{there_are} of {name}; {min_instances} are needed"
            yield Finding("inconclusive", measured, reason, name, floor)
        else:
            instances = count(num, "instance")
            reason = f"the IoU of {name} is {iou:.3f} over {instances}; the floor is {floor:.3f}"
            yield Finding("pass" if iou >= floor else "fail", iou, reason, name, floor)


def judge_false_positives(contest: Contest, limit: float) -> Iterator[Finding]:
    """Compare the number of false instances for each true one with its limit."""
    table = contest.candidate
    wrong, right = int(table.num_false_positives.sum()), int(table.num_true_positives.sum())
    found = f"{count(wrong, 'false positive')} and {count(right, 'true positive')}"
    if not right:
        yield Finding("fail", None, found)
        return
    ratio = wrong / right
    reason = f"{found}: {ratio:.2f} false for each true one; the limit is {limit:g}"
    yield Finding("pass" if ratio <= limit else "fail", ratio, reason)


def judge_latency(contest: Contest, budget_ms: float) -> Iterator[Finding]:
    """Compare the 95th percentile of the time for one picture with its budget."""
    measured_ms = contest.latency_p95_ms
    if measured_ms is None or not math.isfinite(measured_ms) or measured_ms < 0:
        yield Finding("fail", None, f"no usable latency was measured; the budget is {budget_ms:g} ms")
        return
    reason = f"95 % of the pictures take at most {measured_ms:.0f} ms; the budget is {budget_ms:g} ms"
    yield Finding("pass" if measured_ms <= budget_ms else "fail", measured_ms, reason)


def _is_possible(table: IouTable) -> bool:
    tables = (table.iou_sum, table.num_instances, table.num_true_positives, table.num_false_positives)
    return bool(
        all(np.isfinite(array).all() and (array >= 0).all() for array in tables)
        and (table.iou_sum <= table.num_instances + _ROUNDING).all()
        and (table.num_true_positives <= table.num_instances).all()
    )


PRECONDITIONS: Final = (
    Gate("evaluation", "whole", "evaluation", None, "the evaluation", find_impossible_values),
    Gate("pictures", "whole", "pictures", "min_pictures", "test pictures", find_too_few_pictures),
)
"""What makes judging impossible. The first of them that finds anything is the whole verdict."""

MEAN_IOU: Final = Gate("iou.mean", "mean", "iou", "min_mean_iou", "mean IoU", judge_mean_iou)
CLASS_IOU: Final = Gate("iou.class", "class", "iou", "min_class_iou", "IoU of {}", judge_class_iou)
OWN_GATES: Final = (
    MEAN_IOU,
    CLASS_IOU,
    Gate(
        "false_positives",
        "whole",
        "false positives per true positive",
        "max_false_positives_per_true_positive",
        "false positives per true positive",
        judge_false_positives,
    ),
    Gate("latency_p95", "whole", "latency, ms", "max_latency_p95_ms", "p95 latency (ms)", judge_latency),
)
