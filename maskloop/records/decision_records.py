"""What the ledger holds about verdicts, approvals, and what serves."""

from __future__ import annotations

from typing import ClassVar, Literal

from maskloop.records.record import Check, Outcome, Record
from maskloop.wording import count

__all__ = [
    "AliasTampered",
    "ApprovalDecided",
    "ChampionChangeAbandoned",
    "ChampionChanged",
    "ChampionChanging",
    "VerdictReached",
]


class VerdictReached(Record):
    """The gates judged a candidate. With outcome ``pass`` or ``inconclusive`` it can become a blessing."""

    kind: ClassVar[str] = "verdict.reached"
    blessing_id: str
    """Digest of everything that was judged: candidate, champion, pictures, policy and checks."""
    outcome: Outcome
    checks: tuple[Check, ...]
    candidate_version: str
    candidate_digest: str
    champion_digest: str
    data_tag: str
    data_fingerprint: str
    policy_digest: str
    evaluated_pictures_digest: str

    def sentence(self) -> str:
        """Say it in plain words."""
        version, gates = f"version {self.candidate_version}", count(len(self.checks), "gate")
        if self.outcome == "pass":
            return f"{version} passes {'the only gate' if len(self.checks) == 1 else f'all {gates}'}"
        worst = [check.reason for check in self.checks if check.outcome == self.outcome]
        why = "; ".join([*worst[:3], *([f"and {len(worst) - 3} more"] if len(worst) > 3 else [])])
        if self.outcome == "fail":
            return f"{version} fails {len(worst)} of {gates}: {why}"
        return f"{version} needs a person's judgement, {len(worst)} of {gates} cannot tell: {why}"


class ApprovalDecided(Record):
    """A person, or the policy, said yes or no to one set of weights."""

    kind: ClassVar[str] = "approval.decided"
    decision: Literal["approved", "rejected"]
    version: str
    weights_digest: str
    blessing_id: str
    by: str
    why: str
    via: Literal["mlflow", "cli", "policy"]
    policy_digest: str = ""
    """Of the gates a no of the policy was said under: it holds as long as these are the gates."""

    def sentence(self) -> str:
        """Say it in plain words."""
        why = f": {self.why}" if self.why else ""
        return f"{self.by} {self.decision} version {self.version} ({self.via}){why}"


class ChampionChanging(Record):
    """The intent to move ``champion``; a crash after it is completed by the next reconcile."""

    kind: ClassVar[str] = "champion.changing"
    epoch: int
    version: str
    weights_digest: str
    previous_version: str
    previous_digest: str
    cause: Literal["promotion", "rollback"]
    why: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"{self.cause} of version {self.version} begins"


class ChampionChanged(Record):
    """``champion`` moved. From here on these weights serve, whatever the registry's alias says."""

    kind: ClassVar[str] = "champion.changed"
    epoch: int
    version: str
    weights_digest: str
    previous_version: str
    previous_digest: str
    cause: Literal["promotion", "rollback"]
    why: str
    alias_moved: bool = True
    """False for a rollback while the registry was away: the next reconcile moves its alias."""

    def sentence(self) -> str:
        """Say it in plain words."""
        instead = f" instead of version {self.previous_version}" if self.previous_version else ""
        return (
            f"version {self.version} ({self.weights_digest[:12]}) serves{instead} ({self.cause}): {self.why}"
        )


class ChampionChangeAbandoned(Record):
    """A change of ``champion`` could not be completed; what served before serves on."""

    kind: ClassVar[str] = "champion.abandoned"
    epoch: int
    version: str
    reason: str

    def sentence(self) -> str:
        """Say it in plain words."""
        return f"the change to version {self.version} was abandoned: {self.reason}"


class AliasTampered(Record):
    """Somebody moved or removed an alias by hand; it was put back."""

    kind: ClassVar[str] = "alias.tampered"
    alias: str
    found_version: str
    expected_version: str

    def sentence(self) -> str:
        """Say it in plain words."""
        found = f"at version {self.found_version}" if self.found_version else "gone"
        due = f"belongs to version {self.expected_version}" if self.expected_version else "belongs nowhere"
        return f"the alias {self.alias} was {found} but {due}; what serves did not change"
