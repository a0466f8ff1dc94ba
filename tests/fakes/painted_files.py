"""The scene painted as pictures: a number for each object."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.fakes.label_scene import HEIGHT_PX, SCENE, WIDTH_PX

SCENE_CLASSES = {str(number): one.class_name for number, one in enumerate(SCENE, start=1)}


def numbered(dtype: Any = np.uint8, factor: int = 1) -> np.ndarray:
    values = np.zeros((HEIGHT_PX, WIDTH_PX), dtype)
    for number, one in enumerate(SCENE, start=1):
        values[one.mask] = number * factor
    return values


def saved(image: Image.Image, format_name: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format=format_name)
    return file.getvalue()


def write_numbers(folder: Path) -> None:
    """Write the scene with a number for each object."""
    (folder / "masks").mkdir()
    for name, values in (("scene.png", numbered()), ("empty.png", 0 * numbered())):
        (folder / "masks" / name).write_bytes(saved(Image.fromarray(values)))
    (folder / "classes.json").write_text(json.dumps({"scene": SCENE_CLASSES}))


def write_one_file_each(folder: Path) -> None:
    """Write the scene with a file for each object."""
    for number, one in enumerate(SCENE):
        (folder / "masks" / one.class_name).mkdir(parents=True, exist_ok=True)
        mask = Image.fromarray(one.mask.astype(np.uint8) * 255)
        (folder / "masks" / one.class_name / f"scene_{number}.png").write_bytes(saved(mask))
