"""labelme's JSON, one file beside each picture. Masks, because its polygons have no holes."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset.exports.port import ExportedVersion, LabelWriter, write_json
from dataset.labelled_pictures import LabelledInstance
from dataset.pictures.decoding import encode_png
from maskloop.masks import crop_mask

_VERSION: Final = "7.9.1"


def write(version: ExportedVersion, folder: Path) -> tuple[str, ...]:
    """Write ``SPLIT/STEM.json``, for pictures without objects too."""
    for picture in version.pictures:
        page: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [_shape(one, version.class_names) for one in picture.labelled.instances],
            "imagePath": picture.name,
            "imageData": None,
            "imageHeight": picture.labelled.height_px,
            "imageWidth": picture.labelled.width_px,
        }
        write_json(folder / picture.split / f"{picture.stem}.json", page)
    return ("",)


WRITER: Final = LabelWriter(
    "labelme", "labelme JSON", "labelme", lambda picture: f"{picture.split}/{picture.name}", write
)


def _shape(instance: LabelledInstance, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Return a mask shape: the two corners are pixels inside it, and the PNG holds 0 and 1."""
    left, top, pixels_hw = crop_mask(instance.mask)
    height, width = pixels_hw.shape
    return {
        "label": class_names[instance.class_index],
        "points": [[left, top], [left + width - 1, top + height - 1]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {"crowd": True} if instance.is_crowd else {},
        "mask": b64encode(encode_png(pixels_hw.astype(np.uint8))).decode("ascii"),
    }
