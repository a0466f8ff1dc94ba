"""What was asked of a candidate, as one digest: the gates, the classes and the way they are measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maskloop.digest import digest_value
from maskloop.settings.workspace_settings import GateSettings

_ALWAYS_NAMED: Final = frozenset(
    {
        "min_mean_iou",
        "min_class_iou",
        "class_iou_floors",
        "critical_classes",
        "max_class_iou_drop",
        "confidence",
        "resamples",
        "min_instances",
        "min_pictures",
        "score_threshold",
        "max_false_positives_per_true_positive",
        "max_latency_p95_ms",
    }
)
"""The fields of the first digests. A later field counts once it is set, so adding one changes no digest."""
EVALUATOR_VERSION: Final = 1
"""Raise it when the meaning of a gated figure or of a gate's rule changes: older verdicts then show it."""


def policy_digest(gates: GateSettings, class_names: Sequence[str]) -> str:
    """Return the digest that changes with any gate, with the classes or with the evaluator.

    >>> policy_digest(GateSettings(), ["nut"]) == policy_digest(GateSettings(min_mean_iou=0.7), ["nut"])
    True
    """
    defaults = type(gates)().model_dump()
    named = {
        name: value
        for name, value in gates.model_dump().items()
        if name in _ALWAYS_NAMED or value != defaults[name]
    }
    return digest_value({"gates": named, "classes": list(class_names), "evaluator": EVALUATOR_VERSION})
