"""From an answer to what a client reads: instances with their masks in the format asked for, and drawings."""

from __future__ import annotations

import base64
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from PIL import Image

from evaluation.instances import Detections
from maskloop.masks import Rle, crop_mask, place_mask
from models.answering.instance_json import FoundInstance
from serving.answers import Answer, HostedModel, Traffic
from serving.schemas import Instance, MaskFormat, ModelName, NoveltyScore, RleMask

if TYPE_CHECKING:
    from collections.abc import Sequence


def make_smaller(
    pixels: NDArray[np.uint8], detections: Detections, *, longest_px: int
) -> tuple[NDArray[np.uint8], Detections]:
    """Take every k-th pixel of a picture, uint8 (H, W, 3), and of its masks, so that no side is longer."""
    step = -(-max(pixels.shape[:2]) // longest_px)
    if step == 1:
        return pixels, detections
    smaller = pixels[::step, ::step]
    height, width = smaller.shape[:2]
    masks = []
    for mask in detections.masks:
        left, top, crop = crop_mask(mask)
        crop = crop[-top % step :: step, -left % step :: step]
        at = {"left_px": -(-left // step), "top_px": -(-top // step)}
        masks.append(place_mask(crop, **at, height_px=height, width_px=width))
    boxes = detections.boxes_xyxy / step
    return smaller, Detections(
        height, width, boxes, detections.scores, detections.class_indices, tuple(masks)
    )


def render_instances(told: Sequence[FoundInstance], masks: MaskFormat) -> list[Instance]:
    """Write the instances of an answer for the wire, their masks in the format asked for."""
    return [
        Instance(
            class_name=one.class_name,
            score=one.score,
            box_xyxy=one.box_xyxy,
            mask=render_mask(one.mask, masks),
        )
        for one in told
    ]


def render_mask(mask: Rle, wanted: MaskFormat) -> RleMask | list[list[float]] | str | None:
    """Write one mask in the format asked for."""
    match wanted:
        case "rle":
            coco = mask.to_coco()
            return RleMask(size=(coco["size"][0], coco["size"][1]), counts=coco["counts"])
        case "polygon":
            return trace_outlines(mask)
        case "png":
            return _png(mask)
        case "none":
            return None


def trace_outlines(mask: Rle) -> list[list[float]]:
    """Return the outer outlines of a mask as COCO polygons, px; holes are filled.

    The lines run half way between pixel centres inside and outside (contourpy, level 0.5); a polygon of
    pixel centres (x, y) covers the pixel from (x, y) to (x + 1, y + 1).
    """
    left, top, pixels = crop_mask(mask)
    corner = np.array([left, top]) - 0.5  # padding moved all by one, centres lie at a half
    lines = contour_generator(z=np.pad(pixels, 1).astype(np.float64)).lines(0.5)
    outlines = []
    for line in lines:
        points = np.asarray(line, dtype=np.float64)[:-1] + corner
        x, y = points.T
        twice_area = float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
        if twice_area > 0:  # contourpy walks holes the other way round
            outlines.append([round(float(value), 1) for value in points.ravel()])
    return outlines


def name_model(model: HostedModel, model_name: str) -> ModelName:
    """Say which model this is, and what let it serve."""
    served = model.served
    return ModelName(
        name=model_name,
        version=served.version,
        weights_digest=served.weights_digest,
        blessing_id=served.blessing_id,
        role=model.role,
        engine=model.engine.name,
    )


def describe_traffic(traffic: Traffic) -> dict[str, Any]:
    """Return the facts of a rollout for `/v1/model`; the field `rollout` holds the cycle's id."""
    described = asdict(traffic)
    return {"rollout": described.pop("cycle_id"), **described}


def render_novelty(answer: Answer) -> NoveltyScore | None:
    """Say how strange the picture is, if that is known."""
    if answer.novelty is None:
        return None
    return NoveltyScore(
        score=round(answer.novelty.score, 4), out_of_distribution=answer.novelty.is_out_of_distribution
    )


def _png(mask: Rle) -> str:
    left, top, pixels = crop_mask(mask)
    whole = Image.new("1", (mask.width_px, mask.height_px))
    whole.paste(Image.fromarray(pixels), (left, top))
    file = io.BytesIO()
    whole.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
