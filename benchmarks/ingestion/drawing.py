"""Batches of drawn pictures with COCO labels, each picture another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.pictures.decoding import encode_png

SIDE_PX: Final = 128
NUM_INSTANCES: Final = 5
CLASS_NAMES: Final = ("bolt", "nut", "washer")
_NUM_VERTICES: Final = 24
_CELLS: Final = 16


def write_batch(folder: Path, numbers: range) -> Path:
    """Write numbered pictures and their labels; return the label file. What is complete stays."""
    file = folder / "annotations.json"
    if file.exists():
        return file
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / "images" / f"picture_{number:06d}.png").write_bytes(encode_png(draw_pixels(number)))
    beside = file.with_suffix(".part")
    beside.write_text(json.dumps(draw_labels(numbers)))
    beside.rename(file)
    return file


def draw_pixels(number: int) -> NDArray[np.uint8]:
    """Return a picture of coarse random greys, uint8 (SIDE_PX, SIDE_PX, 3), whose look is its own."""
    rng = np.random.default_rng([1, number])
    cells = rng.integers(0, 256, (_CELLS, _CELLS, 3), dtype=np.uint8)
    side = SIDE_PX // _CELLS
    return cells.repeat(side, axis=0).repeat(side, axis=1)


def draw_labels(numbers: range) -> dict[str, Any]:
    """Return COCO content with `NUM_INSTANCES` ellipses in each picture, as polygons."""
    angles = np.linspace(0, 2 * np.pi, _NUM_VERTICES, endpoint=False)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in numbers:
        rng = np.random.default_rng([2, number])
        name = f"picture_{number:06d}.png"
        images.append({"id": number, "file_name": name, "width": SIDE_PX, "height": SIDE_PX})
        centres, radii = (
            rng.uniform(24, SIDE_PX - 24, (NUM_INSTANCES, 2)),
            rng.uniform(6, 20, (NUM_INSTANCES, 2)),
        )
        for category, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
            outline = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            (left, top), (width, height) = centre - radius, 2 * radius
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1 + category % len(CLASS_NAMES),
                    "segmentation": [outline.round(2).ravel().tolist()],
                    "bbox": [round(float(side), 2) for side in (left, top, width, height)],
                    "area": round(float(np.pi * radius.prod()), 2),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}
