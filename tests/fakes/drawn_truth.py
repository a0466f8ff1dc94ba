"""Pictures of the loop's world as a batch that tells what they show, like the generator's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dataset.pictures.decoding import encode_png
from tests.fakes.model_ports import CLASS_NAMES, SIDE_PX, draw_picture


def write_truth(folder: Path, numbers: Iterable[int]) -> Path:
    """Write pictures and a COCO file; returns the file."""
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in numbers:
        pixels, instances = draw_picture(number)
        name = f"{number}.png"
        (folder / "images" / name).write_bytes(encode_png(pixels))
        images.append({"id": number, "file_name": name, "width": SIDE_PX, "height": SIDE_PX})
        annotations += [
            {
                "id": len(annotations) + at,
                "image_id": number,
                "category_id": one.class_index,
                "segmentation": one.mask.to_coco(),
                "iscrowd": 0,
            }
            for at, one in enumerate(instances, start=1)
        ]
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASS_NAMES)]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file
