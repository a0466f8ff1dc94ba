"""The approval page: what a reviewer needs to decide about one candidate, as one HTML file. Pure.

The same facts give the same page, so it can be written as often as one likes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from maskloop.pages.templates import open_template
from maskloop.records.kinds import Check, Outcome, RolloutPhase, VerdictReached
from maskloop.settings.workspace_settings import GateSettings
from maskloop.wording import count
from registry.approval.decision_status import DecisionStatus
from registry.evidence.diagnosis import KINDS_IN_WORDS, MAX_CURVES, calibration_in_words
from registry.evidence.judged_evidence import (
    SIGNS,
    ClassRow,
    JudgedEvidence,
    Latency,
    ShownPicture,
    SourceRow,
    worst_checks_first,
    worst_rows_first,
)
from registry.evidence.model_charts import precision_recall_chart, training_charts
from registry.gates.drops import MEAN, allowance_in_words, amount
from registry.gates.gates import find_gate, title_of
from registry.wording import figure, sentence, signed, when

if TYPE_CHECKING:
    pass

MAX_LINES: Final = 100
"""Of the history; what came before is counted."""
MAX_SOURCES: Final = 12
MAX_SOURCE_ROWS: Final = 40
OUTCOMES: Final[Mapping[Outcome, str]] = {"pass": "pass", "inconclusive": "cannot tell", "fail": "fail"}
MAX_DOUBTS: Final = 6
"""Checks named in the first lines; the rest is counted there and listed below."""
_GATES_SAY: Final[Mapping[Outcome, str]] = {
    "pass": "The gates pass this candidate",
    "inconclusive": "The gates cannot tell: a person has to decide",
    "fail": "The gates fail this candidate",
}
_SHADOW_SAYS: Final[Mapping[Outcome, str]] = {
    "pass": "on the same pictures it is as good as the champion",
    "inconclusive": "the pictures so far cannot tell",
    "fail": "on the same pictures it is worse than the champion",
}

TEMPLATE: Final = Path(__file__).with_name("approval_page.html.j2")


@dataclass(frozen=True)
class Line:
    """One thing that was recorded."""

    at: datetime
    who: str
    sentence: str


@dataclass(frozen=True)
class DriftCause:
    """The drift verdict that asked for the training.

    Attributes:
        line: When, and in words.
        features: What drifted, strongest first.
        page: Path of the drift page in the workspace.
        route: Of the drift page in MLflow, `#/…`; empty if it is not there.
        url: The same with the server, where that is known.
    """

    line: Line
    features: tuple[str, ...]
    page: str
    route: str = ""
    url: str = ""


@dataclass(frozen=True)
class RolloutReport:
    """What the shadow and the rollout said.

    Attributes:
        champion_version: Beside which it answers.
        phase: Of the rollout.
        share_percent: Of live traffic that it may answer.
        line: The latest move.
        num_compared: Pictures both were asked about.
        checks: One line each.
        outcome: Of all of them.
        rare: Names of checks that need not be shown to hold, only not to be violated.
        questions: What each check asks, by its name; one without is told by its name.
        champion: Latency on those pictures; None if it is not known (any more).
        challenger: Likewise.
        pictures: The worst disagreements.
    """

    champion_version: str
    phase: RolloutPhase
    share_percent: float
    line: Line
    num_compared: int
    checks: tuple[Check, ...]
    outcome: Outcome
    rare: tuple[str, ...] = ()
    questions: Mapping[str, str] = field(default_factory=dict)
    champion: Latency | None = None
    challenger: Latency | None = None
    pictures: tuple[ShownPicture, ...] = ()


@dataclass(frozen=True)
class Origin:
    """One thing the candidate was made of: a word for it, a sentence, and the exact identity."""

    what: str
    sentence: str
    identity: str = ""


@dataclass(frozen=True)
class ApprovalPage:
    """Everything the page says.

    Attributes:
        model_name: Of the registered model.
        cycle: The turn of the loop.
        verdict: What the gates said.
        judged: When.
        decision: Where the decision about it stands.
        asked: Who asked for the training, when and why.
        reason: ``manual``, ``schedule``, ``drift`` or ``labels``.
        drift: For a training that drift asked for.
        evidence: What judging found; None if it was not kept.
        gate_changes: Gates edited since the verdict, in words; None if that cannot be told.
        policy_now: The digest of the gates as they are now; empty if that cannot be told.
        rollout: None before there is one.
        origins: What it was made of.
        decisions: What people and the policy said about these weights.
        history: Everything recorded about the cycle, oldest first.
        four_eyes_against: Who may not approve; empty if anybody may.
        data_came: Data versions that came since the champion's, in words.
        run_url: Page of the training run, where a server is known.
        champion_version: What the candidate was compared with; empty for no champion, or one not known.
    """

    model_name: str
    cycle: str
    verdict: VerdictReached
    judged: Line
    decision: DecisionStatus
    asked: Line
    reason: str
    drift: DriftCause | None
    evidence: JudgedEvidence | None
    gate_changes: tuple[str, ...] | None
    policy_now: str
    rollout: RolloutReport | None
    origins: tuple[Origin, ...]
    decisions: tuple[Line, ...]
    history: tuple[Line, ...]
    four_eyes_against: str = ""
    data_came: tuple[str, ...] = ()
    run_url: str = ""
    champion_version: str = ""

    @property
    def version(self) -> str:
        """Of the candidate."""
        return self.verdict.candidate_version

    @property
    def gates_say(self) -> str:
        """The verdict in a few words."""
        return _GATES_SAY[self.verdict.outcome]

    @property
    def can_be_approved(self) -> bool:
        """A person may still say yes."""
        return self.decision.next == "decide"

    @property
    def question(self) -> str:
        """What the reviewer has to decide; empty when nothing is open."""
        if not self.can_be_approved:
            return ""
        beside = f"in place of version {self.champion_version}" if self.champion_version else ""
        if not self.verdict.champion_digest:
            beside = "as the first model"
        return f"Decide whether version {self.version} may serve{f' {beside}' if beside else ''}."

    def highlights(self) -> list[tuple[str, str]]:
        """Return the page in a few signs and sentences, what did not pass first."""
        return [
            *_about_doubts(self.verdict.checks),
            *_about_gates(self.verdict.checks),
            *_about_loss(self.verdict.checks, self.evidence),
            *_about_traffic(self.rollout),
            *_about_edits(self),
        ]


def render_page(page: ApprovalPage, *, beside: Mapping[str, str] | None = None) -> str:
    """Write the page: outcome first, then why, then what to do. It needs no network to be read.

    Args:
        page: What it says.
        beside: Relative address by text, of pages in the same workspace; none for a copy that lies elsewhere.
    """
    return open_template(TEMPLATE).render(
        page=page,
        verdict=page.verdict,
        beside=beside or {},
        signs=SIGNS,
        rows=worst_rows_first(page.evidence.rows) if page.evidence else [],
        source_rows=worst_rows_first(page.evidence.source_rows) if page.evidence else [],
        allowance=allowance_in_words(_loss_limit(page)),
        checks=worst_checks_first(page.verdict.checks),
        shadow_says=_SHADOW_SAYS,
        shadow_checks=_rollout_checks(page.rollout) if page.rollout else [],
        history=page.history[-MAX_LINES:],
        num_left_out=max(0, len(page.history) - MAX_LINES),
        max_sources=MAX_SOURCES,
        max_rows=MAX_SOURCE_ROWS,
        words=OUTCOMES,
        count=count,
        title=title_of,
        figure=figure,
        change=_change,
        when=when,
        sentence=sentence,
        latency=_describe_latency,
        kinds=KINDS_IN_WORDS,
        calibration=calibration_in_words,
        precision_recall=precision_recall_chart,
        max_curves=MAX_CURVES,
        charts=training_charts(page.evidence.training) if page.evidence else [],
    )


def compare_gates(then: Mapping[str, Any], now: GateSettings | None) -> tuple[str, ...]:
    """Say which gates differ from those of the verdict.

    >>> compare_gates(GateSettings().model_dump(mode="json"), GateSettings(min_mean_iou=0.6))
    ('min_mean_iou was 0.7 and is 0.6 now',)
    """
    if now is None:
        return ("the gates were removed",)
    after = now.model_dump(mode="json")
    names = dict.fromkeys((*then, *after))
    return tuple(
        f"{name} was {_setting(then.get(name))} and is {_setting(after.get(name))} now"
        for name in names
        if then.get(name) != after.get(name)
    )


def _about_doubts(checks: Sequence[Check]) -> list[tuple[str, str]]:
    doubtful = [check for check in worst_checks_first(checks) if check.outcome != "pass"]
    said = [(SIGNS[check.outcome], check.reason) for check in doubtful[:MAX_DOUBTS]]
    left_out = len(doubtful) - len(said)
    return [*said, (SIGNS[doubtful[-1].outcome], f"and {left_out} more")] if left_out else said


def _about_gates(checks: Sequence[Check]) -> list[tuple[str, str]]:
    held = sum(check.outcome == "pass" for check in checks)
    if held == len(checks):
        return [(SIGNS["pass"], f"it passes {'the only gate' if held == 1 else f'all {held} gates'}")]
    return [(SIGNS["pass"], f"{held} of {count(len(checks), 'gate')} passed")] if held else []


def _about_loss(checks: Sequence[Check], evidence: JudgedEvidence | None) -> list[tuple[str, str]]:
    """Name the largest loss on any source, or, only where there is none at all, the smallest gain.

    A check that did not pass is said already, and is not said twice.
    """
    rows: list[ClassRow | SourceRow] = [*evidence.rows, *evidence.source_rows] if evidence else []
    known = [row for row in rows if row.drop is not None and row.name != MEAN]
    compared = [check for check in _loss_checks(checks) if check.measured is not None]
    if not known or not compared:
        return []
    worst = max(known, key=lambda row: row.drop or 0.0)
    largest = max(worst.drop or 0.0, *(check.measured or 0.0 for check in compared))
    if largest > 0:
        return _about_largest_loss(worst, largest, compared)
    where = ", on every source" if any(row.source for row in known) else ""
    bounds = f"(change between {_change(worst.drop_high)} and {_change(worst.drop_low)})"
    if largest == 0:
        return [(worst.sign, f"no class lost anything{where}; {worst.name} kept its IoU {bounds}")]
    place = f" on {worst.source}" if worst.source else ""
    least = f"{worst.name}{place} least: {_change(worst.drop)} IoU {bounds}"
    return [(worst.sign, f"every class gained{where}; {least}")]


def _about_largest_loss(
    worst: ClassRow | SourceRow, largest: float, compared: Sequence[Check]
) -> list[tuple[str, str]]:
    if any(check.measured == largest and check.outcome != "pass" for check in compared):
        return []
    if (worst.drop or 0.0) < largest:  # by source, in evidence that does not hold the figures by source
        check = max(compared, key=lambda check: check.measured or 0.0)
        return [(SIGNS[check.outcome], f"the largest loss: {check.reason}")]
    place = f" on {worst.source}" if worst.source else ""
    bounds = f"(change between {_change(worst.drop_high)} and {_change(worst.drop_low)})"
    return [(worst.sign, f"the largest loss is that of {worst.name}{place}: {amount(largest)} IoU {bounds}")]


def _change(drop: float | None) -> str:
    """Write a drop as a change: what was lost has a minus."""
    return signed(None if drop is None else -drop)


def _loss_limit(page: ApprovalPage) -> float:
    """Return the largest drop allowed, as it was when the gates judged."""
    required = [check.required for check in _loss_checks(page.verdict.checks)]
    return next((limit for limit in required if limit is not None), GateSettings().max_class_iou_drop)


def _loss_checks(checks: Sequence[Check]) -> list[Check]:
    gates = ((check, find_gate(check)) for check in checks)
    return [check for check, gate in gates if gate and gate.quantity == "iou drop"]


def _about_traffic(rollout: RolloutReport | None) -> list[tuple[str, str]]:
    if rollout is None or not rollout.num_compared:
        return []
    seen = (
        f"{rollout.num_compared} pictures of production were shown to both: {_SHADOW_SAYS[rollout.outcome]}"
    )
    return [(SIGNS[rollout.outcome], seen)]


def _about_edits(page: ApprovalPage) -> list[tuple[str, str]]:
    if not page.gate_changes:
        return []
    return [("!", f"the gates were edited since the verdict: {'; '.join(page.gate_changes)}")]


def _rollout_checks(rollout: RolloutReport) -> list[tuple[Check, str]]:
    """Put what was shown to be wrong first and what nothing speaks against last, each with its outcome."""
    silent = [c for c in rollout.checks if c.name in rollout.rare and c.outcome == "inconclusive"]
    telling = worst_checks_first([check for check in rollout.checks if check not in silent])
    return [
        *((check, check.outcome) for check in telling),
        *((check, "nothing against it") for check in silent),
    ]


def _describe_latency(latency: Latency) -> str:
    return f"{latency.p50_ms:.0f} ms, 95 % within {latency.p95_ms:.0f} ms"


def _setting(value: Any) -> str:
    return "off" if value is None else str(value)
