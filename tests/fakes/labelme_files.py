"""labelme's files, written as version 5 and later write them."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any

import numpy as np
from PIL import Image

from tests.fakes.label_scene import HEIGHT_PX, WIDTH_PX, Mask


def mask_png(pixels: Mask) -> str:
    """Return a grey PNG of 0 and 1 in base64."""
    written = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(written, "PNG")
    return b64encode(written.getvalue()).decode()


def shape(label: str, points: Any, kind: str = "polygon", **changes: Any) -> dict[str, Any]:
    return {
        "label": label,
        "points": [[float(x), float(y)] for x, y in points],
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
        **changes,
    }


def mask_shape(label: str, mask: Mask, **changes: Any) -> dict[str, Any]:
    """Return a mask shape: both corners are inside."""
    rows, columns = np.nonzero(mask)
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    png = mask_png(mask[top : bottom + 1, left : right + 1])
    return shape(label, [(left, top), (right, bottom)], "mask", mask=png, **changes)


def page(picture: str, *shapes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": picture,
        "imageData": None,
        "imageHeight": HEIGHT_PX,
        "imageWidth": WIDTH_PX,
        **changes,
    }
