"""What each kind of finding about the data does to a batch or a training: it blocks, it warns, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Rule = Literal["block", "warn", "ignore"]
CheckedKind = Literal[
    "large-group",
    "alike",
    "torn",
    "names",
    "location",
    "copied",
    "two-classes",
    "twice",
    "sent-held-out",
    "sent-trained",
    "sent-instance-held-out",
    "sent-instance-trained",
    "look",
    "missing",
    "spurious",
    "merged",
    "split",
    "class",
    "border",
    "several-parts",
    "size",
    "aspect",
]
LEAKS: Final[tuple[CheckedKind, ...]] = ("alike", "torn", "copied")
"""The test shows what was trained on: whatever is measured then is too good."""


def rule_of(policy: Mapping[CheckedKind, Rule], kind: CheckedKind) -> Rule:
    """Return what a kind of finding does: what the settings say, else leaks block and all others warn.

    >>> rule_of({}, "alike"), rule_of({}, "missing"), rule_of({"alike": "warn"}, "alike")
    ('block', 'warn', 'warn')
    """
    return policy.get(kind, "block" if kind in LEAKS else "warn")
