"""Boxes in NumPy: decoded from offsets, clipped, and suppressed.

As torchvision and `models.operations.suppression` do it in torch.

Shape suffixes: N boxes, K kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.exports.steps import Steps

Boxes = NDArray[np.float32]


def decode(deltas_N4: Boxes, anchors_N4: Boxes, weights: Sequence[float], largest_growth: float) -> Boxes:
    """Return boxes (..., 4), x0, y0, x1, y1, of offsets dx, dy, dw, dh (..., 4) from anchors of that shape.

    R. Girshick et al., Rich feature hierarchies, CVPR 2014, appendix C.
    """
    sides = anchors_N4[..., 2:] - anchors_N4[..., :2]
    centres = anchors_N4[..., :2] + np.float32(0.5) * sides
    offsets = deltas_N4 / np.asarray(weights, np.float32)
    middle = offsets[..., :2] * sides + centres
    half = np.float32(0.5) * np.exp(np.minimum(offsets[..., 2:], np.float32(largest_growth))) * sides
    return np.concatenate([middle - half, middle + half], axis=-1)


def clip(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Return boxes (..., 4) cut to a picture's height and width, px."""
    height, width = size
    return np.clip(boxes, 0.0, np.asarray([width, height, width, height], np.float32))


def suppress(boxes_N4: Boxes, scores_N: NDArray[np.float32], iou_threshold: float) -> NDArray[np.int64]:
    """Return which boxes no better one overlaps, int64 (K,), best score first; of equal ones the first."""
    order = np.argsort(-scores_N, kind="stable")
    overlaps_NN = measure_iou(boxes_N4[order]) > iou_threshold
    is_gone = np.zeros(len(order), dtype=bool)
    kept = []
    for place in range(len(order)):
        if not is_gone[place]:
            kept.append(place)
            is_gone |= overlaps_NN[place]
    return order[kept]


def suppress_softly(
    boxes_N4: Boxes, scores_N: NDArray[np.float32], labels_N: NDArray[np.int64], steps: Steps
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which boxes are kept, int64 (K,), best first, and their lowered scores (K,).

    Bodla et al., "Soft-NMS", 2017, arXiv:1704.04503, equations 2 and 3.
    """
    iou_NN = measure_iou(boxes_N4) * (labels_N[:, None] == labels_N[None, :])
    left_N, kept, scores = scores_N.copy(), [], []
    for _ in range(min(steps.max_detections, len(scores_N))):
        best = int(left_N.argmax())
        kept.append(best)
        scores.append(left_N[best])
        iou_N = iou_NN[best]
        if steps.suppression == "linear":
            left_N *= np.where(iou_N > steps.nms_iou, 1.0 - iou_N, 1.0).astype(np.float32)
        else:
            left_N *= np.exp(-(iou_N**2) / np.float32(steps.suppression_sigma)).astype(np.float32)
        left_N[best] = -1.0
    kept_K, scores_K = np.array(kept, np.int64), np.array(scores, np.float32)
    is_left = scores_K > steps.min_score
    return kept_K[is_left], scores_K[is_left]


def measure_iou(boxes_N4: Boxes) -> NDArray[np.float32]:
    """Return intersection over union of each pair, float32 (N, N); 0 with an empty box."""
    x0, y0, x1, y1 = boxes_N4.T
    area = (x1 - x0) * (y1 - y0)
    width = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    height = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = area[:, None] + area - shared
    iou: NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou
