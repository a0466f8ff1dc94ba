"""What is published about a verdict, put together before any of it is written. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.labelled_pictures import DatasetVersion
from flows.evidence.evaluate import ModelOnPictures
from flows.evidence.examples import DrawnExample
from flows.evidence.iou_by_source import iou_rows
from maskloop.records.kinds import CandidateRegistered, VerdictReached
from registry.evidence.judged_evidence import worst_checks_first
from registry.ports import APPROVAL_PENDING, APPROVAL_TAG, EVIDENCE_TAG

_NOT_WRITTEN_YET: Final = "not written yet"
"""The evidence tag until the approval page exists."""


@dataclass(frozen=True)
class Contest:
    """Candidate and champion on the same test pictures."""

    version: DatasetVersion
    registered: CandidateRegistered
    candidate: ModelOnPictures
    champion: ModelOnPictures | None
    champion_digest: str


@dataclass(frozen=True)
class VerdictDossier:
    """Everything about a verdict that goes into the run and onto the version.

    Attributes:
        registered: The candidate.
        verdict: On it.
        iou_by_source: See `flows.evidence.iou_by_source.iou_rows`.
        texts: By path below the run's files, like the two that follow.
        tables: Rows.
        pictures: uint8 (H, W, 3).
        figures: By name.
        tags: Of the version, in the order they are written.
    """

    registered: CandidateRegistered
    verdict: VerdictReached
    iou_by_source: Sequence[Mapping[str, Any]]
    texts: Mapping[str, str]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    pictures: Mapping[str, NDArray[np.uint8]]
    figures: Mapping[str, float]
    tags: Mapping[str, str]

    @classmethod
    def of(
        cls, contest: Contest, verdict: VerdictReached, examples: Sequence[DrawnExample]
    ) -> VerdictDossier:
        """Put it together from a contest and the pictures drawn of it."""
        evaluation = contest.candidate.evaluation
        by_source = iou_rows(evaluation.iou, contest.champion.evaluation.iou if contest.champion else None)
        return cls(
            registered=contest.registered,
            verdict=verdict,
            iou_by_source=by_source,
            texts={
                "verdict/verdict.json": verdict.model_dump_json(indent=1),
                "evaluation/report.json": json.dumps(evaluation.to_json()),
            },
            tables={
                "evaluation/per_class.json": evaluation.rows(),
                "evaluation/by_source.json": by_source,
                "evaluation/error_types.csv": evaluation.error_rows(),
                "evaluation/confusion.csv": evaluation.confusion.rows(),
            },
            pictures={
                f"evaluation/example_{number}.png": example.picture
                for number, example in enumerate(examples, start=1)
            },
            figures=headline_figures(contest.candidate),
            tags={
                EVIDENCE_TAG: _NOT_WRITTEN_YET,
                "verdict": verdict.outcome,
                APPROVAL_TAG: APPROVAL_PENDING,  # a yes from before the verdict counts for nothing
            },
        )


def verdict_rows(verdict: VerdictReached) -> list[dict[str, Any]]:
    """Lay the checks out as table rows, those that did not pass first."""
    return [
        {
            "check": check.name,
            "outcome": check.outcome,
            "measured": check.measured,
            "required": check.required,
            "reason": check.reason,
        }
        for check in worst_checks_first(verdict.checks)
    ]


def headline_figures(candidate: ModelOnPictures) -> dict[str, float]:
    """Return a candidate's figures by name; a class without instances has none."""
    evaluation = candidate.evaluation
    class_iou = evaluation.iou.class_iou()
    named = {
        f"test/iou/{name}": float(iou)
        for name, iou in zip(evaluation.iou.class_names, class_iou, strict=True)
    }
    named["test/iou/mean"] = float(class_iou.mean())
    named["test/mask_ap"] = float(evaluation.ap_segm.figures["AP"])
    named["test/box_ap"] = float(evaluation.ap_bbox.figures["AP"])
    named["test/calibration_error"] = evaluation.calibration.expected_error()
    named |= {f"test/ap50_lost_to/{kind}": gain for kind, gain in evaluation.errors.gains().items()}
    named["test/latency_p95_ms"] = candidate.latency_p95_ms
    return {name: value for name, value in named.items() if value == value}  # NaN: a class without instances
