"""The best boxes of a picture, from what the first network says at every anchor.

As `models.network.proposals` does it in torch.

Shape suffixes: A anchors of a cell, h and w a map's sides in cells, M proposals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.edge.boxes import Boxes, clip, decode, suppress
from models.exports.steps import Steps


def propose(
    objectness: Sequence[NDArray[np.float32]],
    deltas: Sequence[NDArray[np.float32]],
    padded: tuple[int, int],
    size: tuple[int, int],
    steps: Steps,
) -> Boxes:
    """Return a picture's proposals, float32 (M, 4) in px of the resized picture, best first.

    Args:
        objectness: Of each map, (A, h, w).
        deltas: Of each map, (4 A, h, w).
        padded: Height and width the network was given, px.
        size: The same without padding.
        steps: The numbers.
    """
    boxes, scores = [], []
    levels = zip(objectness, deltas, steps.cell_anchors, strict=True)
    for own_objectness, own_deltas, cell in levels:
        kinds, rows, columns = own_objectness.shape
        flat = own_objectness.transpose(1, 2, 0).reshape(-1)
        best = _find_best(flat, steps.proposals_before_nms)
        offsets = own_deltas.reshape(kinds, 4, rows, columns).transpose(2, 3, 0, 1).reshape(-1, 4)[best]
        anchors = _anchors_at(best, cell, columns, padded[0] // rows, padded[1] // columns)
        found = clip(decode(offsets, anchors, steps.proposal_weights, steps.largest_growth), size)
        certain = _sigmoid(flat[best])
        sides = found[:, 2:] - found[:, :2]
        is_kept = (sides >= steps.proposal_min_side_px).all(axis=1) & (certain >= steps.proposal_min_score)
        found, certain = found[is_kept], certain[is_kept]
        kept = suppress(found, certain, steps.proposal_nms_iou)
        boxes.append(found[kept])
        scores.append(certain[kept])
    order = np.argsort(-np.concatenate(scores), kind="stable")[: steps.proposals]
    return np.concatenate(boxes)[order]


def _find_best(values: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return where the ``most`` largest values are, int64, largest first."""
    if len(values) > most:
        some = np.argpartition(-values, most - 1)[:most]
        return some[np.argsort(-values[some], kind="stable")]
    return np.argsort(-values, kind="stable")


def _anchors_at(
    places: NDArray[np.int64],
    cell: Sequence[Sequence[float]],
    columns: int,
    row_stride_px: int,
    column_stride_px: int,
) -> Boxes:
    """Return the anchors of these places, float32 (N, 4); places count row by row, cell by cell."""
    cells, kind = np.divmod(places, len(cell))
    row, column = np.divmod(cells, columns)
    left, top = column * column_stride_px, row * row_stride_px
    corner = np.stack([left, top, left, top], axis=1).astype(np.float32)
    return corner + np.asarray(cell, np.float32)[kind]


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-values)), np.float32)
