"""Approval pages of an imaginary candidate, and a reader that sees what a browser would."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from maskloop.records.kinds import Check, Outcome, VerdictReached
from maskloop.settings.workspace_settings import GateSettings
from registry.approval.decision_status import DecisionStatus
from registry.evidence.approval_page import ApprovalPage, Line, Origin, RolloutReport
from registry.evidence.judged_evidence import (
    Change,
    ClassRow,
    DataChange,
    JudgedEvidence,
    Latency,
    Panel,
    ShownPicture,
    SourceRow,
)
from registry.gates.blessing import make_verdict
from serving.rollout.checks import CHECKS

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PICTURE = "data:image/jpeg;base64,/9j/4AAQ"


def check(name: str = "iou.mean", outcome: Outcome = "pass", reason: str = "it holds") -> Check:
    return Check(name=name, outcome=outcome, measured=0.8, required=0.7, reason=reason)


def verdict(*checks: Check, champion: bool = True) -> VerdictReached:
    return make_verdict(
        checks or [check()],
        candidate_version="7",
        candidate_digest="a" * 64,
        champion_digest="c" * 64 if champion else "",
        data_tag="data-v3",
        data_fingerprint="f" * 64,
        policy_digest="p" * 64,
        evaluated_pictures_digest="e" * 64,
    )


def drop_check(name: str, drop: float, outcome: Outcome = "pass", *, source: str = "") -> Check:
    """What the gates say about a class, or about the worst class of a source."""
    return Check(
        name=f"drop.source.{source}" if source else f"drop.class.{name}",
        outcome=outcome,
        measured=drop,
        required=0.05,
        reason=f"the change of {name} {source}",
    )


def source_row(source: str, name: str, drop: float, outcome: Outcome = "pass") -> SourceRow:
    return SourceRow(source, name, 40, 0.8 - drop, 0.8, drop, drop - 0.02, drop + 0.03, outcome)


def row(name: str = "bolt", outcome: Outcome = "pass", drop: float | None = 0.01) -> ClassRow:
    return ClassRow(name, 120, 0.81, 0.78, 0.84, 0.82, drop, -0.01, 0.03, 0.6, outcome)


def evidence(*rows: ClassRow, **more: Any) -> JudgedEvidence:
    data = DataChange(
        "data-v1",
        "data-v3",
        (Change("belt camera 2", 40, 3, 1),),
        (Change("bolt", 20, 2, 0),),
        {"bolt": (100, 123)},
    )
    shown = ShownPicture("lost most, 003.png: champion 0.90, candidate 0.40", tuple(panels("annotated")))
    facts: dict[str, Any] = {
        "blessing_id": "b" * 64,
        "rows": rows or (row(),),
        "confidence": 0.95,
        "pictures": (shown,),
        "data": data,
        "candidate": Latency(40.0, 55.0),
        "champion": Latency(41.0, 57.0),
        "machine": "CPU with AVX2, 2 threads",
        "num_pictures": 96,
        "gates": GateSettings().model_dump(mode="json"),
    }
    return JudgedEvidence(**facts | more)


def panels(*titles: str) -> list[Panel]:
    return [Panel(title, PICTURE) for title in titles]


def rollout(**more: Any) -> RolloutReport:
    facts: dict[str, Any] = {
        "champion_version": "6",
        "phase": "shadow",
        "share_percent": 0.0,
        "line": Line(AT, "maskloop", "the rollout of version 7 begins"),
        "num_compared": 240,
        "checks": (
            check("agreement", reason="mean agreement: 0.91"),
            check("errors", "inconclusive", "none"),
        ),
        "outcome": "pass",
        "rare": ("errors",),
        "questions": {check.name: check.question for check in CHECKS},
        "champion": Latency(40.0, 55.0),
        "challenger": Latency(44.0, 61.0),
        "pictures": (
            ShownPicture("agreement 0.31", tuple(panels("champion: 4 found", "challenger: 2 found"))),
        ),
    }
    return RolloutReport(**facts | more)


def approval_page(**more: Any) -> ApprovalPage:
    facts: dict[str, Any] = {
        "model_name": "metal-parts",
        "cycle": "cycle-4",
        "verdict": verdict(),
        "judged": Line(AT, "maskloop", "the gates say pass"),
        "decision": DecisionStatus(
            "open", "It waits for a person's decision", "The gates passed.", next="decide"
        ),
        "asked": Line(AT, "rita", "somebody wanted it"),
        "reason": "manual",
        "drift": None,
        "evidence": evidence(),
        "gate_changes": (),
        "policy_now": "p" * 64,
        "rollout": rollout(),
        "origins": (Origin("Code", "of maskloop", "0" * 40),),
        "decisions": (),
        "history": (Line(AT, "rita", "a cycle was opened"),),
    }
    return ApprovalPage(**facts | more)


class Reader(HTMLParser):
    """Sees the text of the body, tags and addresses, as a browser does."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.addresses = "", list[str](), list[str]()
        self._in_body = False
        self.feed(page)
        self.close()
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_body |= tag == "body"
        self.tags.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]

    def handle_data(self, data: str) -> None:
        if self._in_body:
            self.text += f"{data} "
