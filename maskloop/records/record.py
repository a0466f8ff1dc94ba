"""What every record of the ledger is, and the words its fields share."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = [
    "Check",
    "CycleOutcome",
    "Outcome",
    "Record",
    "RolloutPhase",
    "StartsFrom",
    "TriggerReason",
    "WaitingFor",
]

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
    """Names it in the ledger; empty for what is only a part of records."""
    by_kind: ClassVar[dict[str, type[Record]]] = {}
    """All kinds there are."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        if cls.kind in Record.by_kind:
            raise TypeError(f"two records are of the kind {cls.kind}")
        if cls.kind:
            Record.by_kind[cls.kind] = cls

    def sentence(self) -> str:
        """Say it in plain words."""
        raise NotImplementedError


_GATES_WITH_SUBJECTS: Final = ("iou.class", "drop.class", "drop.source", "slice")
"""The gates that made a check for each of several subjects when records held only a check's name."""


class Check(Record):
    """One line of a verdict, or of what a rollout was judged by."""

    kind: ClassVar[str] = ""
    name: str
    outcome: Outcome
    measured: float | None
    required: float | None
    reason: str
    gate: str = ""
    """The gate, or the rollout's check, that asked."""
    subject: str = ""
    """The class, source or slice it is about; empty for one about everything."""

    @model_validator(mode="before")
    @classmethod
    def _find_gate_in_name(cls, values: Any) -> Any:
        """Fill in what earlier releases wrote into the name alone."""
        if not isinstance(values, dict) or values.get("gate") or not isinstance(values.get("name"), str):
            return values
        name = values["name"]
        for gate in _GATES_WITH_SUBJECTS:
            if name.startswith(f"{gate}."):
                return values | {"gate": gate, "subject": name.removeprefix(f"{gate}.")}
        return values | {"gate": name}

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.name}: {self.outcome} ({self.reason})"
