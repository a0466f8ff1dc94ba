"""What a prediction does between a model's networks, in numbers: enough to run an export without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Four = tuple[float, float, float, float]
Three = tuple[float, float, float]


class Steps(BaseModel):
    """The numbers of resizing, proposing, cutting and suppressing; sides and boxes in px.

    Attributes:
        min_size_px: A picture's short side is brought to this length, unless the long one would get too long.
        max_size_px: Of the long side.
        mean: Of red, green and blue in 0..1, taken off.
        spread: Of the same; divides what is left.
        num_views: Of a prediction; without torch there is one.
        cell_anchors: Of each map, finest first: x0, y0, x1, y1 around a cell's corner.
        proposals_before_nms: The best so many anchors of each map.
        proposals: The best so many boxes of a picture.
        proposal_nms_iou: Above it the worse of two boxes goes.
        proposal_min_side_px: Of a box.
        proposal_min_score: 0..1.
        proposal_weights: Divide the offsets dx, dy, dw, dh of anchors.
        box_weights: Divide those of proposals.
        largest_growth: Of the logarithm of a box's side.
        roi_levels: The maps that regions are cut from.
        box_bins: Along a side of a region that is classified.
        mask_bins: Along a side of a region that is outlined.
        roi_samples: Along a side of a bin.
        min_score: A detection's floor, 0..1.
        nms_iou: As `proposal_nms_iou`, within a class.
        max_detections: Of a picture.
        suppression: See `models.operations.suppression.Suppression`.
        suppression_sigma: Likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_size_px: int
    max_size_px: int
    mean: Three
    spread: Three
    num_views: int = 1
    cell_anchors: tuple[tuple[Four, ...], ...]
    proposals_before_nms: int
    proposals: int
    proposal_nms_iou: float
    proposal_min_side_px: float
    proposal_min_score: float
    proposal_weights: Four
    box_weights: Four
    largest_growth: float
    roi_levels: tuple[str, ...]
    box_bins: int
    mask_bins: int
    roi_samples: int
    min_score: float
    nms_iou: float
    max_detections: int
    suppression: Literal["off", "linear", "gaussian"] = "off"
    suppression_sigma: float = 0.5
