"""Everything measured about one model on one set of pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.average_precision import AveragePrecision, measure_average_precision
from evaluation.calibration import Calibration, measure_calibration
from evaluation.confusion import BACKGROUND, Confusion, measure_confusion
from evaluation.curves import Curve, trace_curves
from evaluation.error_types import ERROR_KINDS, ErrorTypes, measure_error_types
from evaluation.findings import judge_detections
from evaluation.instances import Detections, GroundTruth, IouTable, ScoreThreshold
from evaluation.iou import measure_mask_iou

_NUM_STEPS = 5


@dataclass(frozen=True)
class Evaluation:
    """One model's figures. Undefined ones (a class without annotations) are NaN here and None in JSON.

    Attributes:
        iou: What gates are decided on.
        ap_bbox: COCO's figures for boxes.
        ap_segm: COCO's figures for masks.
        confusion: At the score threshold of ``iou``.
        curves: One per class.
        errors: Which kind of error costs how much.
        calibration: Whether scores can be taken at their word.
    """

    iou: IouTable
    ap_bbox: AveragePrecision
    ap_segm: AveragePrecision
    confusion: Confusion
    curves: tuple[Curve, ...]
    errors: ErrorTypes
    calibration: Calibration

    def _positives(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.iou.num_true_positives.sum(axis=0), self.iou.num_false_positives.sum(axis=0)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The C classes."""
        return self.iou.class_names

    @property
    def num_pictures(self) -> int:
        """How many pictures were evaluated."""
        return len(self.iou.picture_ids)

    def mean_class_iou(self) -> float:
        """Return the mean over the classes that have instances; NaN if none has."""
        iou = self.iou.class_iou()
        known = iou[np.isfinite(iou)]
        return float(known.mean()) if known.size else math.nan

    def precision(self) -> NDArray[np.float64]:
        """Return true over all positives per class, float64 (C,); NaN where nothing was detected."""
        true, false = self._positives()
        return _ratio(true, true + false)

    def recall(self) -> NDArray[np.float64]:
        """Return the share of instances found with an IoU of at least 0.5, float64 (C,)."""
        return _ratio(self._positives()[0], self.iou.num_instances.sum(axis=0))

    def false_positives_per_true_positive(self) -> NDArray[np.float64]:
        """Return the number of wrong detections for each right one, float64 (C,); NaN where none is right."""
        true, false = self._positives()
        return _ratio(false, true)

    def class_iou_by_source(self) -> dict[str, NDArray[np.float64]]:
        """Return the class mask IoU, float64 (C,), of each source's pictures, sources sorted."""
        return {source: self.iou.only_source(source).class_iou() for source in sorted(set(self.iou.sources))}

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain dict per class for tables: name, counts, and figures 0..1 or None."""
        best = [curve.best_f1() for curve in self.curves]
        columns: dict[str, Sequence[Any] | NDArray[Any]] = {
            "class_name": self.class_names,
            "num_instances": self.iou.num_instances.sum(axis=0),
            "num_pictures": (self.iou.num_instances > 0).sum(axis=0),
            "mask_iou": self.iou.class_iou(),
            "precision": self.precision(),
            "recall": self.recall(),
            "false_positives_per_true_positive": self.false_positives_per_true_positive(),
            "mask_ap": self.ap_segm.class_ap(),
            "mask_ap50": self.ap_segm.class_ap50(),
            "box_ap": self.ap_bbox.class_ap(),
            "best_f1": [f1 for f1, _ in best],
            "best_f1_score": [score for _, score in best],
            "calibration_error": self.calibration.class_expected_error(),
        }
        values = [_plain(column) for column in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]

    def error_rows(self) -> list[dict[str, Any]]:
        """Return one plain dict per class and kind of error: how many, and what curing them gains in AP50."""
        counts, gains = self.errors.counts.tolist(), _plain(self.errors.class_gains())
        return [
            {"class_name": name, "kind": kind, "count": counts[row][column], "ap50_gain": gains[row][column]}
            for column, name in enumerate(self.class_names)
            for row, kind in enumerate(ERROR_KINDS)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON, with None for what is undefined."""
        sources = self.class_iou_by_source()
        return {
            "num_pictures": self.num_pictures,
            "num_instances": int(self.iou.num_instances.sum()),
            "score_threshold": self.iou.score_threshold,
            "mean_class_iou": _plain(self.mean_class_iou()),
            "classes": self.rows(),
            "class_iou_by_source": {
                source: dict(zip(self.class_names, _plain(iou), strict=True))
                for source, iou in sources.items()
            },
            "box_ap": _plain(self.ap_bbox.figures),
            "mask_ap": _plain(self.ap_segm.figures),
            "confusion": {
                "labels": [*self.class_names, BACKGROUND],
                "true_rows_predicted_columns": self.confusion.counts.tolist(),
            },
            "errors": {"counts": self.errors.totals(), "ap50_gains": _plain(self.errors.gains())},
            "calibration": {
                "expected_error": _plain(self.calibration.expected_error()),
                "mean_overconfidence": _plain(self.calibration.mean_overconfidence()),
                "bins": [asdict(one) for one in self.calibration.bins()],
            },
            "curves": {curve.class_name: _plain_curve(curve.thinned()) for curve in self.curves},
        }


def evaluate(
    detections: Mapping[str, Detections],
    truths: Sequence[GroundTruth],
    *,
    class_names: Sequence[str],
    score_threshold: ScoreThreshold,
    max_detections: Sequence[int] = (1, 10, 100),
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure everything about one model on these pictures.

    Args:
        detections: By picture id; keep low scores in, average precision and the curves use them.
        truths: The pictures to evaluate.
        class_names: C names.
        score_threshold: For class mask IoU, precision, recall and confusion; one or each class's own.
        max_detections: Limits of the average precision, per picture and class.
        progress: Called with steps done and steps in all.

    Raises:
        ValueError: if a picture has no entry in ``detections`` or does not fit (see `measure_mask_iou`).
    """
    report = progress or (lambda done, total: None)
    report(0, _NUM_STEPS)
    iou = measure_mask_iou(detections, truths, class_names=class_names, score_threshold=score_threshold)
    report(1, _NUM_STEPS)
    options: dict[str, Any] = {"class_names": class_names, "max_detections": max_detections}
    ap_bbox = measure_average_precision(detections, truths, kind="bbox", **options)
    report(2, _NUM_STEPS)
    ap_segm = measure_average_precision(detections, truths, kind="segm", **options)
    report(3, _NUM_STEPS)
    confusion = measure_confusion(
        detections, truths, class_names=class_names, score_threshold=score_threshold
    )
    report(4, _NUM_STEPS)
    findings = judge_detections(detections, truths, class_names=class_names)
    curves = trace_curves(findings)
    errors, calibration = measure_error_types(findings), measure_calibration(findings)
    report(5, _NUM_STEPS)
    return Evaluation(iou, ap_bbox, ap_segm, confusion, curves, errors, calibration)


def _ratio(total: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio = np.full(len(count), np.nan)
    np.divide(total, count, out=ratio, where=count > 0)
    return ratio


def _plain_curve(curve: Curve) -> dict[str, Any]:
    return {
        "scores": _plain(curve.scores),
        "precision": _plain(curve.precision),
        "recall": _plain(curve.recall),
    }


def _plain(value: Any) -> Any:
    """Turn arrays and NumPy numbers into lists and Python numbers, and what is not finite into None."""
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
