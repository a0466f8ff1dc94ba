"""The scene painted as pictures: a number for each object."""

from __future__ import annotations

import io
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
