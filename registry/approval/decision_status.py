"""Where the decision about a candidate stands, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from maskloop.records.kinds import ApprovalDecided
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState, Rollout
from registry.wording import sentence, when

Kind = Literal["open", "yes", "no"]
Next = Literal["decide", "take back", "roll back", "nothing"]
_WAYS: Final = {"mlflow": "in MLflow", "cli": "at the command line", "policy": "as the policy says"}


@dataclass(frozen=True)
class DecisionStatus:
    """Where the decision stands.

    Attributes:
        kind: ``open`` waits for a person; ``yes`` and ``no`` were said.
        headline: A few words.
        sentence: Who, when and why.
        next: What a person can do now.
    """

    kind: Kind
    headline: str
    sentence: str
    next: Next = "nothing"

    @property
    def sign(self) -> str:
        """For whoever cannot see the colour."""
        return {"open": "?", "yes": "✓", "no": "✗"}[self.kind]


def status_of_decision(cycle: Cycle, state: LoopState) -> DecisionStatus:
    """Say where the decision about a judged cycle stands."""
    said = _who_and_why(cycle.approval) if cycle.approval else ""
    rollout = state.rollouts.get(cycle.id)
    if cycle.closed and cycle.closed.outcome != "promoted":
        return DecisionStatus("no", f"The turn ended: {cycle.closed.outcome}", sentence(cycle.closed.reason))
    if cycle.phase in ("promoting", "closed"):
        return _in_service(cycle, state) or DecisionStatus("yes", "It is being promoted", said)
    if cycle.phase == "rejected":
        return DecisionStatus("no", "It was rejected", said)
    if cycle.verdict and cycle.verdict.outcome == "fail":
        return DecisionStatus("no", "It cannot be approved", "What serves now serves on.")
    if rollout and rollout.phase in ("aborting", "rolled-back"):
        return DecisionStatus("no", "Its rollout was stopped", _describe_move(rollout))
    if cycle.phase == "approved":
        return _approved(cycle, said)
    waiting = sentence(cycle.waiting.reason) if cycle.waiting else ""
    return DecisionStatus("open", "It waits for a person's decision", waiting, next="decide")


def _in_service(cycle: Cycle, state: LoopState) -> DecisionStatus | None:
    """Say whether what a cycle promoted serves still; None if it has not begun to."""
    digest = cycle.verdict.candidate_digest if cycle.verdict else ""
    times = [index for index, one in enumerate(state.serving) if one.change.weights_digest == digest]
    if not times:
        return None
    if times[-1] == len(state.serving) - 1:
        serving = state.serving[-1]
        why = f"since {when(serving.since)}, moved there by {serving.actor}: {serving.change.why}"
        return DecisionStatus("yes", "It serves", sentence(why), next="roll back")
    after = state.serving[times[-1] + 1]
    story = sentence(f"{when(after.since)}: {after.change.sentence()}")
    if after.change.cause == "rollback":
        return DecisionStatus("no", "It served and was rolled back from", story)
    return DecisionStatus("yes", "It served and was replaced", story)


def _who_and_why(approval: ApprovalDecided) -> str:
    return sentence(
        f"by {approval.by}, {_WAYS[approval.via]}" + (f": {approval.why}" if approval.why else "")
    )


def _approved(cycle: Cycle, said: str) -> DecisionStatus:
    if cycle.waiting is None:
        return DecisionStatus("yes", "It is approved", said, next="take back")
    waiting = f"{said} {sentence(cycle.waiting.reason)}"
    if cycle.waiting.waiting_for == "approval":
        return DecisionStatus("open", "It has to be approved again", waiting, next="decide")
    return DecisionStatus("yes", "It is approved", waiting, next="take back")


def _describe_move(rollout: Rollout) -> str:
    return sentence(rollout.moved.reason if rollout.moved else "")
