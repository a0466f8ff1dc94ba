"""ObjectLab of cleanlab looks for the same errors, on boxes: ``python -m benchmarks.health.objectlab FILE``.

The files are ``benchmarks/health/runs/DATA/boxes-*.json``, which ``python -m benchmarks.health`` leaves.
cleanlab is no dependency of maskloop: this runs in an environment with cleanlab 2.9 (and what it brings:
NumPy and scikit-learn), with cleanlab's own thresholds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FIRST: Final = 100
MIN_IOU: Final = 0.5


def main() -> None:
    """Print the figures of each file as JSON."""
    kept = {Path(file).stem: json.loads(Path(file).read_text()) for file in sys.argv[1:]}
    figures = {name: measure(one["pictures"], one["classes"]) for name, one in kept.items()}
    print(json.dumps(figures, indent=1))


def measure(rows: list[dict[str, Any]], num_classes: int) -> dict[str, Any]:
    """Return AUROC and precision of the three kinds that ObjectLab knows, from the rows of one file."""
    from cleanlab.object_detection import rank

    given = {
        "labels": [
            {"bboxes": as_boxes(row["boxes"]), "labels": np.array(row["classes"], dtype=int)} for row in rows
        ],
        "predictions": [by_class(row, num_classes)[0] for row in rows],
    }
    kinds = np.array([kind for row in rows for kind in row["kinds"]])
    figures: dict[str, Any] = {}
    overlooked = np.concatenate(rank.compute_overlooked_box_scores(**given))
    is_missing = np.concatenate([by_class(row, num_classes)[1] for row in rows])
    figures["missing"] = summarise(overlooked, np.where(is_missing, "missing", ""), "missing")
    for kind, scores in (
        ("border", rank.compute_badloc_box_scores(**given)),
        ("class", rank.compute_swap_box_scores(**given)),
    ):
        figures[kind] = summarise(np.concatenate(scores), kinds, kind)
    return figures


def summarise(quality: NDArray[np.float64], kinds: NDArray[np.str_], kind: str) -> dict[str, Any]:
    """Return the AUROC against what is right, and how many of the first are errors; NaN is no suspicion.

    Args:
        quality: 0..1, low where an error is suspected.
        kinds: Of the injected errors, empty where there is none.
        kind: That is looked for.
    """
    from sklearn.metrics import roc_auc_score

    suspicion = np.where(np.isnan(quality), 0.0, 1.0 - quality)
    ranked = np.argsort(-suspicion, kind="stable")
    first = ranked[suspicion[ranked] > 0][:FIRST]
    compared = (kinds == kind) | (kinds == "")
    return {
        "AUROC": round(float(roc_auc_score(kinds[compared] == kind, suspicion[compared])), 4),
        "listed": len(first),
        "right": int((kinds[first] == kind).sum()),
        "some error": int((kinds[first] != "").sum()),
    }


def by_class(row: dict[str, Any], num_classes: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return detections as cleanlab takes them, and in its order whether each is on a removed label."""
    boxes, classes = as_boxes(row["found boxes"]), np.array(row["found classes"], dtype=int)
    table = np.column_stack([boxes, np.array(row["found scores"], dtype=float)])
    overlap = iou(boxes, as_boxes(row["removed"]))
    is_on_removed = overlap.max(axis=1, initial=0.0) >= MIN_IOU
    predictions = np.empty(num_classes, dtype=object)
    for index in range(num_classes):
        predictions[index] = table[classes == index]
    return predictions, is_on_removed[np.argsort(classes, kind="stable")]


def as_boxes(values: list[list[float]]) -> NDArray[np.float64]:
    """Return float64 (N, 4)."""
    return np.array(values, dtype=float).reshape(-1, 4)


def iou(one_N4: NDArray[np.float64], other_M4: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU of boxes, float64 (N, M)."""
    low = np.maximum(one_N4[:, None, :2], other_M4[:, :2])
    high = np.minimum(one_N4[:, None, 2:], other_M4[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one_N4, other_M4)]
    return np.asarray(both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-9))


if __name__ == "__main__":
    main()
