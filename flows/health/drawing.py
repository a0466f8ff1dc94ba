"""A finding as a picture: the part of the photograph around it, with labels and detections outlined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.labelled_pictures import LabelledPicture
from evaluation.instances import Detections
from evaluation.overlays import outline
from flows.health.findings import Finding
from maskloop.masks import Rle, boxes_xyxy, decode_masks

LABEL_COLOUR: Final = (0, 200, 255)
DETECTION_COLOUR: Final = (255, 140, 0)
OTHER_COLOUR: Final = (190, 190, 190)
LONG_SIDE_PX: Final = 320
_LEAST_MARGIN_PX: Final = 8
_LINE_PX: Final = 2


def draw_finding(pixels: NDArray[np.uint8], finding: Finding, found: Detections | None) -> NDArray[np.uint8]:
    """Draw the surroundings of a finding.

    The labels it is about have an outline of `LABEL_COLOUR`, the detections of `DETECTION_COLOUR` within it,
    other labels nearby of `OTHER_COLOUR`.

    Args:
        pixels: Its picture, uint8 (H, W, 3).
        finding: What to show.
        found: What the champion found in the picture; None if it was not asked.

    Returns:
        uint8 (H', W', 3), the longer side `LONG_SIDE_PX`.
    """
    detections = [found.masks[number] for number in finding.detections] if found else []
    return draw_labels(pixels, finding.picture, finding.labels, detections)


def draw_labels(
    pixels: NDArray[np.uint8],
    picture: LabelledPicture,
    positions: Sequence[int],
    detections: Sequence[Rle] = (),
    *,
    long_side_px: int = LONG_SIDE_PX,
) -> NDArray[np.uint8]:
    """Draw the surroundings of some labels of a picture, in the colours of `draw_finding`.

    Args:
        pixels: The picture, uint8 (H, W, 3).
        picture: Its labels.
        positions: Of the labels to show.
        detections: Masks of what a model found there.
        long_side_px: Of the result.

    Returns:
        uint8 (H', W', 3).
    """
    instances = picture.instances
    labels = [instances[number].mask for number in positions]
    others = [one.mask for number, one in enumerate(instances) if number not in positions]
    window = _around([*labels, *detections], height_px=pixels.shape[0], width_px=pixels.shape[1])
    image = Image.fromarray(np.ascontiguousarray(pixels[window]))
    scale = long_side_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = np.array(image.resize(size, Image.Resampling.BICUBIC))
    for masks, colour, inset in (
        (others, OTHER_COLOUR, 0),
        (labels, LABEL_COLOUR, 0),
        (detections, DETECTION_COLOUR, _LINE_PX),
    ):
        for mask in _within(masks, window):
            _draw_outline(canvas, mask, colour, inset)
    return canvas


def _around(masks: Sequence[Rle], *, height_px: int, width_px: int) -> tuple[slice, slice]:
    """Return rows and columns around masks, with half as much again on each side."""
    boxes = boxes_xyxy(masks).astype(int)
    if not len(boxes):
        return slice(0, height_px), slice(0, width_px)
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).tolist()
    margin = max(_LEAST_MARGIN_PX, (right - left) // 2, (bottom - top) // 2)
    rows = slice(max(0, top - margin), min(height_px, bottom + margin))
    return rows, slice(max(0, left - margin), min(width_px, right + margin))


def _within(masks: Sequence[Rle], window: tuple[slice, slice]) -> list[NDArray[np.bool_]]:
    rows, columns = window
    boxes = boxes_xyxy(masks)
    near = [
        mask
        for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True)
        if left < columns.stop and right > columns.start and top < rows.stop and bottom > rows.start
    ]
    return [decode_masks([mask])[0][window] for mask in near]


def _draw_outline(
    canvas: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int], inset_px: int
) -> None:
    height, width = canvas.shape[:2]
    scaled = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
    inside = np.asarray(scaled) >= 128
    inner = inside & ~outline(inside, width_px=inset_px)
    canvas[outline(inner if inner.any() else inside, width_px=_LINE_PX)] = colour
