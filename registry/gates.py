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
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from evaluation.bootstrap import DropIntervals, paired_drop
from evaluation.instances import IouTable
from maskloop.errors import ConfigurationError, RefusedError
from maskloop.records import Check, Outcome
from maskloop.settings import GateSettings

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
    count = len(table.picture_ids)
    if count >= gates.min_pictures and table.num_instances.sum() > 0:
        return None
    reason = (
        f"{count} test pictures with {table.num_instances.sum()} instances: at least {gates.min_pictures} "
        "pictures and one instance are needed"
    )
    return Check(
        name="pictures", outcome="inconclusive", measured=count, required=gates.min_pictures, reason=reason
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
            reason=f"no mean IoU without test instances of {', '.join(without)}",
        )
    mean = math.fsum(class_iou[name] for name in critical) / len(critical)
    outcome: Outcome = "pass" if mean >= gates.min_mean_iou else "fail"
    reason = f"mean IoU of {len(critical)} classes is {mean:.3f}, floor {gates.min_mean_iou:.3f}"
    return Check(name="iou.mean", outcome=outcome, measured=mean, required=gates.min_mean_iou, reason=reason)


def _class_floor(name: str, iou: float, num_instances: int, floor: float, gates: GateSettings) -> Check:
    if num_instances < gates.min_instances:
        return Check(
            name=f"iou.class.{name}",
            outcome="inconclusive",
            measured=None if math.isnan(iou) else iou,
            required=floor,
            reason=f"{num_instances} test instances of {name}, {gates.min_instances} are needed",
        )
    outcome: Outcome = "pass" if iou >= floor else "fail"
    reason = f"IoU of {name} is {iou:.3f} over {num_instances} instances, floor {floor:.3f}"
    return Check(name=f"iou.class.{name}", outcome=outcome, measured=iou, required=floor, reason=reason)


def _false_positives(table: IouTable, gates: GateSettings) -> list[Check]:
    limit = gates.max_false_positives_per_true_positive
    if limit is None:
        return []
    wrong, right = int(table.num_false_positives.sum()), int(table.num_true_positives.sum())
    measured = wrong / right if right else None
    outcome: Outcome = "pass" if measured is not None and measured <= limit else "fail"
    reason = f"{wrong} false positives beside {right} true positives, at most {limit:g} each"
    if not right:
        reason = f"not one true positive, and {wrong} false ones"
    name = "false_positives"
    return [Check(name=name, outcome=outcome, measured=measured, required=limit, reason=reason)]


def _latency(latency_p95_ms: float | None, gates: GateSettings) -> list[Check]:
    budget = gates.max_latency_p95_ms
    if budget is None:
        return []
    if latency_p95_ms is None or not math.isfinite(latency_p95_ms) or latency_p95_ms < 0:
        reason = f"no usable latency was measured, but the budget is {budget:g} ms"
        return [Check(name="latency_p95", outcome="fail", measured=None, required=budget, reason=reason)]
    outcome: Outcome = "pass" if latency_p95_ms <= budget else "fail"
    reason = f"95 % of pictures within {latency_p95_ms:.0f} ms, budget {budget:g} ms"
    return [
        Check(name="latency_p95", outcome=outcome, measured=latency_p95_ms, required=budget, reason=reason)
    ]


# --- the candidate against the champion ----------------------------------------------------------


@dataclass(frozen=True)
class _Drop:
    """One class (or the mean) in one group of pictures: what was lost, and how sure that is."""

    what: str
    drop: float
    low: float
    high: float
    num_instances: int
    num_pictures: int


def _drops(candidate: IouTable, champion: IouTable, gates: GateSettings, seed: int) -> list[Check]:
    grouped = _with_small_sources_together(candidate, gates.min_pictures)
    groups = sorted(set(grouped))
    if len(groups) == 1:  # the same as all pictures
        groups = []
    num_drops = (1 + len(groups)) * (1 + len(candidate.class_names))
    overall = _measure_drops(candidate, champion, gates, seed=seed, num_drops=num_drops)
    checks = [_drop_check(f"drop.{_slug(drop.what)}", [drop], gates) for drop in overall]
    for group in groups:
        ours = replace(candidate, sources=grouped).only_source(group)
        theirs = replace(champion, sources=grouped).only_source(group)
        drops = _measure_drops(ours, theirs, gates, seed=seed, num_drops=num_drops)
        checks.append(_drop_check(f"drop.source.{group}", drops, gates, where=f" on {group}"))
    return checks


def _slug(what: str) -> str:
    return what if what == "mean" else f"class.{what}"


def _with_small_sources_together(table: IouTable, min_pictures: int) -> tuple[str, ...]:
    """Return each picture's group: its source, or one common name for all too small to judge alone."""
    count = Counter(table.sources)
    return tuple(
        source if count[source] >= min_pictures else "(small sources together)" for source in table.sources
    )


def _measure_drops(
    candidate: IouTable, champion: IouTable, gates: GateSettings, *, seed: int, num_drops: int
) -> list[_Drop]:
    """Return the drop of the mean and of each class that occurs, with its one-sided bounds."""

    def bounds_at(one_sided: float) -> DropIntervals:
        two_sided = 2 * one_sided - 1
        return paired_drop(candidate, champion, resamples=gates.resamples, confidence=two_sided, seed=seed)

    upper = bounds_at(gates.confidence)
    lower = bounds_at(1 - (1 - gates.confidence) / num_drops)
    total = int(upper.num_instances.sum())
    mean = _Drop("mean", upper.mean_drop, lower.mean_low, upper.mean_high, total, len(candidate.picture_ids))
    classes = [
        _Drop(
            name,
            float(upper.drop[index]),
            float(lower.low[index]),
            float(upper.high[index]),
            int(upper.num_instances[index]),
            int(upper.num_pictures[index]),
        )
        for index, name in enumerate(upper.class_names)
        if upper.num_instances[index] > 0
    ]
    return [mean, *classes]


def _drop_check(name: str, drops: Sequence[_Drop], gates: GateSettings, *, where: str = "") -> Check:
    """Make one check of a group's drops: the worst outcome, explained by the drop behind it."""
    judged = [(_drop_outcome(drop, gates), drop) for drop in drops]
    outcome = _worst(outcome for outcome, _ in judged)
    worst = max((drop for o, drop in judged if o == outcome), key=lambda drop: drop.drop)
    reason = (
        f"IoU drop of {worst.what}{where} against the champion: {worst.drop:+.3f} (between {worst.low:+.3f} "
        f"and {worst.high:+.3f}, {worst.num_instances} instances), limit {gates.max_class_iou_drop:.3f}"
    )
    return Check(
        name=name, outcome=outcome, measured=worst.drop, required=gates.max_class_iou_drop, reason=reason
    )


def _drop_outcome(drop: _Drop, gates: GateSettings) -> Outcome:
    limit = gates.max_class_iou_drop
    if not all(math.isfinite(value) for value in (drop.drop, drop.low, drop.high)):
        return "inconclusive"
    if drop.drop <= limit and drop.high <= 2 * limit and drop.num_pictures >= gates.min_pictures:
        return "pass"
    if drop.low > limit and drop.num_instances >= gates.min_instances:
        return "fail"
    return "inconclusive"
