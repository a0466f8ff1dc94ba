"""Decisions on their way into the ledger, and onto the versions that show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flows.workspace.telling import Teller
from maskloop.errors import MaskloopError, NotFoundError, RefusedError, UnavailableError
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import ApprovalDecided, write_record
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from registry.approval.approval import reject_by_tag, says_no
from registry.champion.champion_journal import promotion_lease
from registry.ports import APPROVAL_TAG, APPROVED_BY_TAG, ModelStore


@dataclass(frozen=True)
class Unread:
    """A reviewer wrote a no into the registry that is not recorded yet."""

    no: ApprovalDecided


@dataclass(frozen=True)
class Unreachable:
    """The registry does not answer, or the version was deleted there."""

    error: MaskloopError


@dataclass(frozen=True)
class DecisionLog:
    """Where decisions are recorded and shown.

    Attributes:
        ledger: Holds the record.
        state: Reads what the ledger adds up to, as of now.
        models: Shows a decision as the tag ``approval`` of its version.
        teller: Is told each decision.
    """

    ledger: Ledger
    state: Callable[[], LoopState]
    models: ModelStore
    teller: Teller

    def record(self, cycle: Cycle, decision: ApprovalDecided) -> None:
        """Record a decision while no promotion can begin, so that a no is never recorded beside one.

        The same tag is recorded once per cycle and verdict.

        Raises:
            RefusedError: if the candidate is being promoted or the cycle has ended.
            UnavailableError: if a promotion is under way.
        """
        said = f"{decision.blessing_id}:{decision.decision}"
        key = "" if decision.via == "cli" else f"approval:{cycle.id}:{said}"
        with promotion_lease(self.ledger):
            phase = self.state().cycles[cycle.id].phase
            if phase in ("promoting", "closed"):
                raise RefusedError(
                    f"the decision on version {decision.version} comes too late: {cycle.id} is {phase}",
                    hint="`maskloop rollback` brings the earlier champion back"
                    if phase == "promoting"
                    else "",
                )
            write_record(self.ledger, decision, actor=decision.by, cycle_id=cycle.id, key=key)
        self.teller.say(decision.sentence())

    def show(self, decision: ApprovalDecided) -> None:
        """Set the version's tag. Raises NotFoundError or UnavailableError: `settle_tags` sets it later."""
        self.models.set_tag(decision.version, APPROVAL_TAG, decision.decision)

    def read_no(self, cycle: Cycle) -> Unread | Unreachable | None:
        """Return the no in the registry that is not recorded yet; None if there is none."""
        if cycle.verdict is None or cycle.phase not in ("judged", "approved"):
            return None
        try:
            tags = self.models.version(cycle.verdict.candidate_version).tags
        except (NotFoundError, UnavailableError) as error:
            return Unreachable(error)
        if not says_no(tags.get(APPROVAL_TAG, "")):
            return None
        approved_by = tags.get(APPROVED_BY_TAG, "")
        return Unread(reject_by_tag(cycle.verdict, cycle.approval, approved_by=approved_by))
