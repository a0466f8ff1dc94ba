"""Challengers that pass blind gates: how each is made from the demo's own pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.ndimage import binary_erosion

from dataset.coco.document import read_coco
from dataset.synthetic.generation import generate
from maskloop.files import write_text
from maskloop.masks import Rle, areas_px, boxes_xyxy, decode_masks, encode_masks, rle_from_coco

EROSION_PX: Final = 3
"""A habit of annotating a little inside the edge: a worsening that nobody sees in single pictures."""


def draw_batch(folder: Path, *, first_index: int, count: int, shift: str | None = None) -> Path:
    """Draw labelled pictures of the line; returns the annotation file."""
    return generate(folder, num_pictures=count, first_index=first_index, shift=shift)


def erode_masks(annotations: Path) -> Path:
    """Rewrite a batch's masks `EROSION_PX` px smaller all around; instances that vanish keep their mask."""
    content: dict[str, Any] = json.loads(annotations.read_text())
    read_coco(annotations)  # ours, but the same door as everybody's
    for annotation in content["annotations"]:
        mask = _erode(rle_from_coco(annotation["segmentation"], *annotation["segmentation"]["size"]))
        x0, y0, x1, y1 = (int(side) for side in boxes_xyxy([mask])[0])
        annotation["segmentation"] = mask.to_coco()
        annotation["bbox"] = [x0, y0, x1 - x0, y1 - y0]
        annotation["area"] = int(areas_px([mask])[0])
    write_text(annotations, json.dumps(content))
    return annotations


def _erode(mask: Rle) -> Rle:
    pixels = decode_masks([mask], height_px=mask.height_px, width_px=mask.width_px)[0]
    eroded = binary_erosion(pixels, iterations=EROSION_PX)
    return encode_masks(np.asarray(eroded)[None])[0] if eroded.any() else mask
