"""YOLO's labels for segmentation, as ultralytics writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.fakes.label_scene import CLASSES, HEIGHT_PX, SCENE, WIDTH_PX, SceneObject, corners, rectangles_of

NAMES = "path: .\ntrain: images/train\nnames:\n  0: nut\n  1: bolt\n  2: gear\n"


def line(class_index: int, outline: Sequence[tuple[float, float]]) -> str:
    return " ".join([str(class_index), *(f"{x / WIDTH_PX:.9f} {y / HEIGHT_PX:.9f}" for x, y in outline)])


def joined(parts: Sequence[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Join two outlines as ultralytics does: by a line from the nearest corner to the other and back."""
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    here, there = min(
        ((a, b) for a in range(len(first)) for b in range(len(second))),
        key=lambda pair: np.hypot(*np.subtract(first[pair[0]], second[pair[1]])),
    )
    first, second = first[here:] + first[:here], second[there:] + second[:there]
    return [*first, first[0], *second, second[0]]


def line_of(one: SceneObject) -> str:
    parts = [corners(*rectangle) for rectangle in rectangles_of(one.mask)]
    if one.name == "ring":  # its hole is lost: the format has outlines only
        parts = [corners(5, 5, 40, 40)]
    return line(CLASSES.index(one.class_name), joined(parts))


SCENE_LINES = "\n".join(map(line_of, SCENE))


def write_lines(folder: Path) -> None:
    """Write all of the scene that outlines hold."""
    labels = folder / "labels" / "train"
    labels.mkdir(parents=True)
    (labels / "scene.txt").write_text("\n".join(line_of(one) for one in SCENE if one.name != "ring"))
    (labels / "empty.txt").touch()
    (folder / "data.yaml").write_text(NAMES)
