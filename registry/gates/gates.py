"""The gates: may this candidate be shown to a person, and may it replace the champion?

Three outcomes. ``pass``: shown to be good enough. ``fail``: shown not to be. ``inconclusive``: these pictures
cannot tell, ask a person. Nothing missing, empty, not finite or too small ever passes.

**Floors** compare the measured mask IoU (see `evaluation.instances.IouTable`) with its floor.

**Drops** against the champion are judged on one-sided bootstrap bounds of *champion minus candidate* over the
same pictures:

* the measured drop is within max_class_iou_drop, and the upper bound within twice that: pass. Every drop must
  pass, so the bounds need no correction for their number (an intersection-union test; R. Berger,
  Technometrics 24, 1982).
* the lower bound is above max_class_iou_drop: fail. One is enough, so these bounds share the error rate
  ``1 - confidence`` among all drops judged (Bonferroni).
* anything else: inconclusive.

Drops are judged for every class, for their mean, and again within every source of pictures, so that a model
cannot buy a new camera with the old one. Sources with fewer than `min_pictures` pictures are judged together,
as one. A class with fewer than `min_instances` instances passes by the same rule or is inconclusive; it never
fails. docs/adr/0004-gates.md has the measured error rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from evaluation.instances import IouTable
from maskloop.errors import ConfigurationError, RefusedError
from maskloop.records.kinds import Check, Outcome
from maskloop.settings.settings import GateSettings
from maskloop.wording import count
from registry.gates.drops import Drop, allowance_in_words, describe_change, measure_drops

_SEVERITY: Final[dict[Outcome, int]] = {"pass": 0, "inconclusive": 1, "fail": 2}
_ROUNDING: Final = 1e-6
"""A sum of float IoUs may exceed its count by this much."""


def judge(
    candidate: IouTable,
    champion: IouTable | None,
    gates: GateSettings,
    *,
    latency_p95_ms: float | None,
    seed: int,
) -> tuple[Check, ...]:
    """Judge a candidate on its own and against the champion.

    Args:
        candidate: Measured on the test pictures of a data version.
        champion: Measured on the same pictures; None if nothing serves yet.
        gates: What is asked.
        latency_p95_ms: The candidate's measured latency for one picture; None if it was not measured.
        seed: Of the bootstrap; the same inputs and seed give the same checks.

    Raises:
        ConfigurationError: if the gates name a class that nobody evaluated.
        RefusedError: if the two models were measured on different pictures, annotations or classes.
    """
    _check_classes(candidate, gates)
    broken = _impossible_values(candidate, "candidate") or (
        _impossible_values(champion, "champion") if champion else None
    )
    if broken:
        return (broken,)
    if too_few := _too_few_pictures(candidate, gates):
        return (too_few,)
    checks = [
        *_floors(candidate, gates),
        *_false_positives(candidate, gates),
        *_latency(latency_p95_ms, gates),
    ]
    if champion is not None:
        _check_pairing(candidate, champion)
        checks += _drops(candidate, champion, gates, seed)
    return tuple(checks)


def outcome_of(checks: Sequence[Check]) -> Outcome:
    """Return the worst outcome; without any checks, ``fail``.

    >>> outcome_of([])
    'fail'
    """
    return _worst(check.outcome for check in checks) if checks else "fail"


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    return max(outcomes, key=_SEVERITY.__getitem__)


# --- what makes judging impossible ---------------------------------------------------------------


def _check_classes(table: IouTable, gates: GateSettings) -> None:
    named = {*gates.critical_classes, *gates.class_iou_floors}
    unknown = sorted(named - set(table.class_names))
    if unknown:
        raise ConfigurationError(
            f"the gates name classes that were not evaluated: {', '.join(unknown)}",
            where="gates.critical_classes, gates.class_iou_floors",
            hint=f"the evaluated classes are {', '.join(table.class_names) or '(none)'}",
        )


def _check_pairing(candidate: IouTable, champion: IouTable) -> None:
    same_threshold = candidate.score_threshold == champion.score_threshold
    different = [
        what
        for what, same in (
            ("classes", candidate.class_names == champion.class_names),
            ("pictures", candidate.picture_ids == champion.picture_ids),
            ("annotations", np.array_equal(candidate.num_instances, champion.num_instances)),
            ("sources", candidate.sources == champion.sources),
            ("score thresholds", _may_differ(candidate) or _may_differ(champion) or same_threshold),
        )
        if not same
    ]
    if different:
        raise RefusedError(
            f"candidate and champion were measured on different {different[0]}",
            hint="evaluate both on the test pictures of one data version, then judge again",
        )


def _may_differ(table: IouTable) -> bool:
    """Tell whether a model was measured at thresholds of its own, one for each class, as it will answer."""
    return isinstance(table.score_threshold, tuple)


def _impossible_values(table: IouTable, who: str) -> Check | None:
    """Find figures no evaluation can give; they would otherwise slip through a comparison."""
    tables = (table.iou_sum, table.num_instances, table.num_true_positives, table.num_false_positives)
    possible = (
        all(np.isfinite(array).all() and (array >= 0).all() for array in tables)
        and (table.iou_sum <= table.num_instances + _ROUNDING).all()
        and (table.num_true_positives <= table.num_instances).all()
    )
    if possible:
        return None
    reason = f"the {who}'s evaluation holds values that are not finite or not possible"
    return Check(name="evaluation", outcome="fail", measured=None, required=None, reason=reason)


def _too_few_pictures(table: IouTable, gates: GateSettings) -> Check | None:
    num_pictures, num_instances = len(table.picture_ids), int(table.num_instances.sum())
    if num_pictures >= gates.min_pictures and num_instances > 0:
        return None
    reason = (
        f"there are {count(num_pictures, 'test picture')} with {count(num_instances, 'instance')}; a verdict "
        f"needs at least {count(gates.min_pictures, 'picture')} and one instance"
    )
    return Check(
        name="pictures",
        outcome="inconclusive",
        measured=num_pictures,
        required=gates.min_pictures,
        reason=reason,
    )


# --- the candidate on its own --------------------------------------------------------------------


def _floors(table: IouTable, gates: GateSettings) -> list[Check]:
    class_iou = table.class_iou()
    num_instances = table.num_instances.sum(axis=0)
    checks = [_mean_floor(table, gates)]
    for index, name in enumerate(table.class_names):
        floor = gates.class_iou_floors.get(name, gates.min_class_iou)
        checks.append(_class_floor(name, float(class_iou[index]), int(num_instances[index]), floor, gates))
    return checks


def _mean_floor(table: IouTable, gates: GateSettings) -> Check:
    critical = gates.critical_classes or table.class_names
    class_iou = dict(zip(table.class_names, table.class_iou().tolist(), strict=True))
    without = [name for name in critical if math.isnan(class_iou[name])]
    if without:
        return Check(
            name="iou.mean",
            outcome="inconclusive",
            measured=None,
            required=gates.min_mean_iou,
            reason=f"the mean IoU needs test instances of {', '.join(without)}, and there are none",
        )
    mean = math.fsum(class_iou[name] for name in critical) / len(critical)
    outcome: Outcome = "pass" if mean >= gates.min_mean_iou else "fail"
    classes = count(len(critical), "class", "classes")
    reason = f"the mean IoU of {classes} is {mean:.3f}; the floor is {gates.min_mean_iou:.3f}"
    return Check(name="iou.mean", outcome=outcome, measured=mean, required=gates.min_mean_iou, reason=reason)


def _class_floor(name: str, iou: float, num_instances: int, floor: float, gates: GateSettings) -> Check:
    if num_instances < gates.min_instances:
        return Check(
            name=f"iou.class.{name}",
            outcome="inconclusive",
            measured=None if math.isnan(iou) else iou,
            required=floor,
            reason=(
                f"there {'is' if num_instances == 1 else 'are'} {count(num_instances, 'test instance')} of "
                f"{name}; {gates.min_instances} are needed"
            ),
        )
    outcome: Outcome = "pass" if iou >= floor else "fail"
    instances = count(num_instances, "instance")
    reason = f"the IoU of {name} is {iou:.3f} over {instances}; the floor is {floor:.3f}"
    return Check(name=f"iou.class.{name}", outcome=outcome, measured=iou, required=floor, reason=reason)


def _false_positives(table: IouTable, gates: GateSettings) -> list[Check]:
    limit = gates.max_false_positives_per_true_positive
    if limit is None:
        return []
    wrong, right = int(table.num_false_positives.sum()), int(table.num_true_positives.sum())
    measured = wrong / right if right else None
    outcome: Outcome = "pass" if measured is not None and measured <= limit else "fail"
    found = f"{count(wrong, 'false positive')} and {count(right, 'true positive')}"
    reason = (
        f"{found}: {wrong / right:.2f} false for each true one; the limit is {limit:g}" if right else found
    )
    name = "false_positives"
    return [Check(name=name, outcome=outcome, measured=measured, required=limit, reason=reason)]


def _latency(latency_p95_ms: float | None, gates: GateSettings) -> list[Check]:
    budget = gates.max_latency_p95_ms
    if budget is None:
        return []
    if latency_p95_ms is None or not math.isfinite(latency_p95_ms) or latency_p95_ms < 0:
        reason = f"no usable latency was measured; the budget is {budget:g} ms"
        return [Check(name="latency_p95", outcome="fail", measured=None, required=budget, reason=reason)]
    outcome: Outcome = "pass" if latency_p95_ms <= budget else "fail"
    reason = f"95 % of the pictures take at most {latency_p95_ms:.0f} ms; the budget is {budget:g} ms"
    return [
        Check(name="latency_p95", outcome=outcome, measured=latency_p95_ms, required=budget, reason=reason)
    ]


# --- the candidate against the champion ----------------------------------------------------------


def _drops(candidate: IouTable, champion: IouTable, gates: GateSettings, seed: int) -> list[Check]:
    drops = measure_drops(candidate, champion, gates, seed=seed)
    checks = [
        _drop_check("drop.mean" if drop.is_mean else f"drop.class.{drop.name}", [drop], gates)
        for drop in drops
        if not drop.source
    ]
    for source in dict.fromkeys(drop.source for drop in drops if drop.source):
        own = [drop for drop in drops if drop.source == source]
        checks.append(_drop_check(f"drop.source.{source}", own, gates))
    return checks


def _drop_check(name: str, drops: Sequence[Drop], gates: GateSettings) -> Check:
    """Make one check of a group's drops: the worst outcome, explained by the drop behind it."""
    outcome = _worst(drop.outcome for drop in drops)
    worst = max((drop for drop in drops if drop.outcome == outcome), key=lambda drop: drop.drop)
    limit = gates.max_class_iou_drop
    others = [drop for drop in drops if drop.outcome == outcome and drop is not worst and not drop.is_mean]
    also = f", and likewise {', '.join(drop.name for drop in others)}" if outcome != "pass" and others else ""
    instances = count(worst.num_instances, "instance")
    reason = f"{describe_change(worst)}, over {instances}{also}; {allowance_in_words(limit)}"
    return Check(name=name, outcome=outcome, measured=worst.drop, required=limit, reason=reason)
