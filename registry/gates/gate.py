"""What a gate is: one row of the table in `registry.gates.gates`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from evaluation.instances import IouTable
from maskloop.records.kinds import Check, Outcome
from maskloop.settings.workspace_settings import GateSettings
from registry.gates.drops import Drop, measure_drops

Scope = Literal["whole", "mean", "class", "source", "slice"]
Quantity = Literal[
    "evaluation",
    "pictures",
    "iou",
    "iou drop",
    "false positives per true positive",
    "latency, ms",
    "agreement",
]


@dataclass(frozen=True, eq=False)
class Contest:
    """What gates judge.

    Attributes:
        candidate: Measured on the test pictures of a data version.
        champion: Measured on the same pictures; None if nothing serves yet.
        gates: What is asked.
        latency_p95_ms: The candidate's measured latency for one picture; None if it was not measured.
        seed: Of the bootstrap.
    """

    candidate: IouTable
    champion: IouTable | None
    gates: GateSettings
    latency_p95_ms: float | None
    seed: int

    @cached_property
    def drops(self) -> tuple[Drop, ...]:
        """From `measure_drops`; empty without a champion."""
        if self.champion is None:
            return ()
        return measure_drops(self.candidate, self.champion, self.gates, seed=self.seed)


@dataclass(frozen=True)
class Finding:
    """What a gate found out about one subject.

    Attributes:
        outcome: Of this check.
        measured: In the gate's quantity; None if it could not be measured.
        reason: One sentence, with the numbers.
        subject: The class or source it is about; empty where the gate's scope has only one.
        required: Where the subject has a limit of its own; None: the gate's.
    """

    outcome: Outcome
    measured: float | None
    reason: str
    subject: str = ""
    required: float | None = None


@dataclass(frozen=True)
class Gate:
    """One thing that is asked of a candidate.

    Attributes:
        name: In settings, records and pages. Never reused: verdicts keep it.
        scope: What its checks are about: the ``whole`` candidate, the ``mean`` of the classes, or one check
            for each ``class``, each ``source`` of pictures or each ``slice`` kept of a failed rollout.
        quantity: What is measured.
        setting: Field of [gates] with the limit; None for a gate without one. A limit that is None switches
            the gate off.
        words: Of the check, for people; ``{}`` stands for the subject.
        judge: Returns the findings; the second argument is the limit, 0 for a gate without one. None: the
            checks are made elsewhere, by `Gate.check`.
    """

    name: str
    scope: Scope
    quantity: Quantity
    setting: str | None
    words: str
    judge: Callable[[Contest, float], Iterable[Finding]] | None

    def checks(self, contest: Contest) -> list[Check]:
        """Judge a contest: one check a subject, none if the gate is off or has nothing to compare."""
        limit = None if self.setting is None else getattr(contest.gates, self.setting)
        if self.judge is None or (self.setting and limit is None):
            return []
        return [self.check(finding, limit) for finding in self.judge(contest, limit or 0.0)]

    def check(self, finding: Finding, limit: float | None) -> Check:
        """Write a finding as a line of a verdict."""
        return Check(
            name=f"{self.name}.{finding.subject}" if finding.subject else self.name,
            outcome=finding.outcome,
            measured=finding.measured,
            required=limit if finding.required is None else finding.required,
            reason=finding.reason,
            gate=self.name,
            subject=finding.subject,
        )
