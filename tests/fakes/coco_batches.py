"""Small COCO batches on disk and in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dataset.pictures.decoding import encode_png

WIDTH_PX, HEIGHT_PX = 40, 30


def noise_pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)


def rectangle(x: int = 4, y: int = 3, width: int = 10, height: int = 8) -> list[list[float]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def blunt_rectangle(x: int = 4, y: int = 3, width: int = 10, height: int = 8) -> list[list[float]]:
    """A rectangle without its lower right corner, so that it is no bounding box."""
    right, low = x + width, y + height
    return [[x, y, right, y, right, low - 2, right - 3, low, x, low]]


def annotation(number: int, image_id: Any, category_id: Any = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": rectangle(),
        "bbox": [4, 3, 10, 8],
        "iscrowd": 0,
        **changes,
    }


def coco_content(numbers: range, class_names: tuple[str, ...] = ("bolt", "nut")) -> dict[str, Any]:
    """One picture per number, with one instance of each class."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in numbers:
        name = f"picture_{number:03d}.png"
        images.append({"id": number, "file_name": name, "width": WIDTH_PX, "height": HEIGHT_PX})
        for category in range(1, len(class_names) + 1):
            x, y = 2 + category, 1 + number % 9
            told = {"segmentation": blunt_rectangle(x=x, y=y), "bbox": [x, y, 10, 8]}
            annotations.append(annotation(len(annotations) + 1, number, category, **told))
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_pictures(folder: Path, numbers: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"picture_{number:03d}.png").write_bytes(encode_png(noise_pixels(number)))


def write_batch(root: Path, numbers: range, content: dict[str, Any] | None = None) -> tuple[Path, Path]:
    """Write pictures and annotations; return the annotation file and the pictures' folder."""
    write_pictures(root / "images", numbers)
    (root / "annotations.json").write_text(json.dumps(content or coco_content(numbers)))
    return root / "annotations.json", root / "images"
