"""While the budget of a model-quality objective is spent, no yes of the policy promotes anything. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from maskloop.records.kinds import ApprovalDecided


@dataclass(frozen=True)
class Freeze:
    """Why the policy promotes nothing now; people may.

    Attributes:
        version: The champion whose budget is spent.
        why: What is spent, in words.
        rollback_target: The version that a rollback would bring back; empty if there is none.
    """

    version: str
    why: str
    rollback_target: str = ""

    @property
    def reason(self) -> str:
        """Say why nothing is promoted by itself."""
        return f"the quality budget of version {self.version} is spent: {self.why}"

    def way_out(self, candidate_version: str) -> str:
        """Say what a person can do, and what ends it without one."""
        back = (
            f"; `maskloop rollback --why WHY` brings version {self.rollback_target} back"
            if self.rollback_target
            else ""
        )
        return (
            f"maskloop approve {candidate_version} --by NAME{back}; the policy goes on by itself "
            "once labels show the promised quality"
        )


def is_held_back(approval: ApprovalDecided | None, freeze: Freeze | None) -> bool:
    """Tell whether a decision promotes nothing for now: a yes of the policy, while it is frozen."""
    is_policy_yes = approval is not None and approval.decision == "approved" and approval.via == "policy"
    return freeze is not None and is_policy_yes
