"""What was asked of a candidate, as one digest: the gates, the classes and the way they are measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maskloop.digest import digest_value
from maskloop.settings.workspace_settings import GateSettings

EVALUATOR_VERSION: Final = 1
"""Raise it when the meaning of a gated figure or of a gate's rule changes: older verdicts then show it."""


def policy_digest(gates: GateSettings, class_names: Sequence[str]) -> str:
    """Return the digest that changes with any gate, with the classes or with the evaluator.

    >>> policy_digest(GateSettings(), ["nut"]) == policy_digest(GateSettings(min_mean_iou=0.7), ["nut"])
    True
    """
    return digest_value(
        {"gates": gates.model_dump(), "classes": list(class_names), "evaluator": EVALUATOR_VERSION}
    )
