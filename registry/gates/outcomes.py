"""How outcomes of single checks become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from maskloop.records.kinds import Check, Outcome

_SEVERITY: Final[dict[Outcome, int]] = {"pass": 0, "inconclusive": 1, "fail": 2}


def outcome_of(checks: Sequence[Check]) -> Outcome:
    """Return the worst outcome; without any checks, ``fail``.

    >>> outcome_of([])
    'fail'
    """
    return worst_outcome(check.outcome for check in checks) if checks else "fail"


def worst_outcome(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst of at least one outcome."""
    return max(outcomes, key=_SEVERITY.__getitem__)
