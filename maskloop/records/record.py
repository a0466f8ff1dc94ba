"""What every record of the ledger is, and the words its fields share."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

TriggerReason = Literal["manual", "schedule", "drift", "labels"]
Outcome = Literal["pass", "inconclusive", "fail"]
WaitingFor = Literal["labels", "training", "approval", "retry", "rollout"]
CycleOutcome = Literal["promoted", "rejected", "failed", "abandoned"]
StartsFrom = Literal["champion", "first-weights"]
RolloutPhase = Literal["shadow", "progressing", "paused", "promoting", "promoted", "aborting", "rolled-back"]


class Record(BaseModel):
    """One thing that happened."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    kind: ClassVar[str]

    def sentence(self) -> str:
        """Say it in plain words."""
        raise NotImplementedError


class Check(Record):
    """One line of a verdict."""

    kind: ClassVar[str] = ""
    name: str
    outcome: Outcome
    measured: float | None
    required: float | None
    reason: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.name}: {self.outcome} ({self.reason})"
