"""CPU time of a picture's features, without and with those of masks: ``python -m benchmarks.drift.masks``."""

from __future__ import annotations

import json
import time
from typing import Final

import numpy as np

from benchmarks.provenance import describe_run
from evaluation.instances import Detections
from maskloop.masks import Rle, boxes_xyxy, encode_masks
from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.answers import ANSWER_FEATURES, CLASS_FEATURES
from monitoring.features.feature import FeatureTable
from monitoring.features.pictures import PICTURE_FEATURES
from monitoring.features.table import FEATURES

SIZES: Final = ((512, 30), (1024, 60), (2048, 300))
"""Side of the picture and radius of a mask, in px."""
INSTANCES: Final = (1, 10, 50)
NAMES: Final = tuple(f"class {number}" for number in range(9))
_REPEATS: Final = 5


def main() -> None:
    """Print one line of JSON for each size and number of instances."""
    print(json.dumps(describe_run()), flush=True)
    before = FeatureTable((*PICTURE_FEATURES, *ANSWER_FEATURES), CLASS_FEATURES)
    rng = np.random.default_rng(0)
    for side, radius in SIZES:
        pixels = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        for num in INSTANCES:
            found = _draw(side, radius, num, rng)
            took = {
                name: round(min(_measure(table, pixels, found) for _ in range(_REPEATS)), 1)
                for name, table in (("before, ms", before), ("with masks, ms", FEATURES))
            }
            print(json.dumps({"side_px": side, "radius_px": radius, "instances": num} | took), flush=True)


def _draw(side: int, radius: int, num: int, rng: np.random.Generator) -> Detections:
    """Return rings with a wavy outline."""
    rows, columns = np.mgrid[:side, :side]
    masks: list[Rle] = []
    for _ in range(num):
        row, column = rng.integers(0, side, 2)
        size = radius * (0.7 + 0.6 * rng.random())
        distance = np.hypot(rows - row, columns - column)
        waves = 1.0 + 0.15 * np.sin(7.0 * np.arctan2(rows - row, columns - column))
        masks += encode_masks(((distance < size * waves) & (distance > 0.3 * size))[np.newaxis])
    scores = np.sort(rng.random(num).astype(np.float32))[::-1].copy()
    boxes = boxes_xyxy(masks).astype(np.float32)
    return Detections(side, side, boxes, scores, rng.integers(0, len(NAMES), num), tuple(masks))


def _measure(table: FeatureTable, pixels: np.ndarray, found: Detections) -> float:
    """Return the CPU time in ms."""
    began = time.process_time()
    table.measure(AnsweredPicture(pixels, found), NAMES)
    return 1000.0 * (time.process_time() - began)


if __name__ == "__main__":
    main()
