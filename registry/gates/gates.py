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

A new gate is a row in own_figures.py or losses.py (after the others: the order is that of a verdict's lines),
a field of [gates] with its limit, off by default, and a test. Records, metrics and pages need no change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from evaluation.instances import IouTable
from maskloop.errors import ConfigurationError, RefusedError
from maskloop.records.kinds import Check
from maskloop.settings.workspace_settings import GateSettings
from registry.gates.gate import Contest, Gate
from registry.gates.losses import LOSS_GATES
from registry.gates.own_figures import OWN_GATES, PRECONDITIONS

SLICE: Final = Gate("slice", "slice", "agreement", None, "agreement on pictures of {}", None)
"""One check for each slice that failed rollouts left; they are made where a model can be asked."""

GATES: Final = (*OWN_GATES, *LOSS_GATES)
_BY_NAME: Final = {gate.name: gate for gate in (*PRECONDITIONS, *GATES, SLICE)}


def judge(
    candidate: IouTable,
    champion: IouTable | None,
    gates: GateSettings,
    *,
    latency_p95_ms: float | None,
    seed: int,
    table: Sequence[Gate] = GATES,
) -> tuple[Check, ...]:
    """Judge a candidate on its own and against the champion.

    Args:
        candidate: Measured on the test pictures of a data version.
        champion: Measured on the same pictures; None if nothing serves yet.
        gates: What is asked.
        latency_p95_ms: The candidate's measured latency for one picture; None if it was not measured.
        seed: Of the bootstrap; the same inputs and seed give the same checks.
        table: The gates, in the order of the checks.

    Raises:
        ConfigurationError: if the gates name a class that nobody evaluated.
        RefusedError: if the two models were measured on different pictures, annotations or classes.
    """
    _check_classes(candidate, gates)
    contest = Contest(candidate, champion, gates, latency_p95_ms, seed)
    for gate in PRECONDITIONS:
        if checks := gate.checks(contest):
            return tuple(checks)
    if champion is not None:
        _check_pairing(candidate, champion)
    return tuple(check for gate in table for check in gate.checks(contest))


def find_gate(check: Check) -> Gate | None:
    """Return the gate a check of a verdict is by; None for one that this release does not have."""
    return _BY_NAME.get(check.gate)


def title_of(check: Check) -> str:
    """Say what a check is about; a gate of another release by its name.

    >>> title_of(Check(name="iou.class.nut", outcome="pass", measured=0.8, required=0.6, reason=""))
    'IoU of nut'
    """
    gate = find_gate(check)
    return gate.words.format(check.subject) if gate else check.name


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
