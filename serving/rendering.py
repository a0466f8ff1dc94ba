"""From an answer to what a client reads: instances in stored coordinates, masks in the format asked for.

The model sees the picture upright, as in training. A client knows the file, so boxes and masks are turned
back through the EXIF orientation before they leave.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataset.orientation import orient_boxes, orient_mask, orient_size, undo
from evaluation.instances import Detections, ScoreThreshold
from maskloop.masks import Rle, crop_mask, place_mask
from serving.answers import Answer, HostedModel
from serving.schemas import Instance, MaskFormat, ModelName, NoveltyScore, RleMask

if TYPE_CHECKING:
    from collections.abc import Sequence


def to_stored(detections: Detections, orientation: int) -> Detections:
    """Turn detections in an upright picture back into the coordinates of the file.

    Args:
        detections: In the upright picture.
        orientation: The EXIF orientation of the file, 1 to 8.
    """
    if orientation == 1:
        return detections
    back = undo(orientation)
    boxes = orient_boxes(detections.boxes_xyxy, back, detections.height_px, detections.width_px)
    masks = tuple(orient_mask(mask, back) for mask in detections.masks)
    height, width = orient_size(detections.height_px, detections.width_px, back)
    return Detections(height, width, boxes, detections.scores, detections.class_indices, masks)


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


def render_instances(
    detections: Detections,
    class_names: Sequence[str],
    *,
    masks: MaskFormat,
    min_score: ScoreThreshold,
    max_instances: int,
) -> list[Instance]:
    """Put detections into words, best score first."""
    kept = np.flatnonzero(detections.reach(min_score))[:max_instances]
    classes, scores = detections.class_indices[kept].tolist(), detections.scores[kept].tolist()
    boxes = detections.boxes_xyxy[kept].tolist()
    return [
        Instance(
            class_name=class_names[class_index],
            score=round(score, 4),
            box_xyxy=tuple(round(side, 2) for side in box),
            mask=render_mask(detections.masks[index], masks),
        )
        for index, class_index, score, box in zip(kept.tolist(), classes, scores, boxes, strict=True)
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
    from contourpy import contour_generator

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
    )


def render_novelty(answer: Answer) -> NoveltyScore | None:
    """Say how strange the picture is, if that is known."""
    if answer.novelty is None:
        return None
    return NoveltyScore(
        score=round(answer.novelty.score, 4), out_of_distribution=answer.novelty.is_out_of_distribution
    )


def _png(mask: Rle) -> str:
    from PIL import Image

    left, top, pixels = crop_mask(mask)
    whole = Image.new("1", (mask.width_px, mask.height_px))
    whole.paste(Image.fromarray(pixels), (left, top))
    file = io.BytesIO()
    whole.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
