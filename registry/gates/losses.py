"""Gates about what a candidate lost against the champion, on the same pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from maskloop.wording import count
from registry.gates.drops import Drop, allowance_in_words, describe_change
from registry.gates.gate import Contest, Finding, Gate
from registry.gates.outcomes import worst_outcome


def judge_mean_drop(contest: Contest, limit: float) -> Iterator[Finding]:
    """Judge the drop of the mean IoU in all pictures."""
    yield from (_explain([drop], limit) for drop in contest.drops if drop.is_mean and not drop.source)


def judge_class_drops(contest: Contest, limit: float) -> Iterator[Finding]:
    """Judge the drop of each class in all pictures."""
    drops = [drop for drop in contest.drops if not drop.is_mean and not drop.source]
    yield from (_explain([drop], limit, drop.name) for drop in drops)


def judge_source_drops(contest: Contest, limit: float) -> Iterator[Finding]:
    """Judge all drops in the pictures of each source together."""
    for source in dict.fromkeys(drop.source for drop in contest.drops if drop.source):
        yield _explain([drop for drop in contest.drops if drop.source == source], limit, source)


def _explain(drops: Sequence[Drop], limit: float, subject: str = "") -> Finding:
    """Make one finding of a group's drops: the worst outcome, explained by the drop behind it."""
    outcome = worst_outcome(drop.outcome for drop in drops)
    worst = max((drop for drop in drops if drop.outcome == outcome), key=lambda drop: drop.drop)
    others = [drop for drop in drops if drop.outcome == outcome and drop is not worst and not drop.is_mean]
    also = f", and likewise {', '.join(drop.name for drop in others)}" if outcome != "pass" and others else ""
    instances = count(worst.num_instances, "instance")
    reason = f"{describe_change(worst)}, over {instances}{also}; {allowance_in_words(limit)}"
    return Finding(outcome, worst.drop, reason, subject)


_LIMIT: Final = "max_class_iou_drop"
LOSS_GATES: Final = (
    Gate("drop.mean", "mean", "iou drop", _LIMIT, "loss of mean IoU", judge_mean_drop),
    Gate("drop.class", "class", "iou drop", _LIMIT, "loss of IoU, {}", judge_class_drops),
    Gate("drop.source", "source", "iou drop", _LIMIT, "largest loss of IoU on {}", judge_source_drops),
)
