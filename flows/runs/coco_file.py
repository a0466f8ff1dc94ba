"""Answers as one COCO file, written instance by instance."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from maskloop.masks import Rle, areas_px

CocoRow = Mapping[str, Any]


def write_coco_file(
    file: IO[bytes],
    info: CocoRow,
    class_names: Sequence[str],
    pictures: Iterable[tuple[CocoRow, Iterable[CocoRow]]],
    more: Mapping[str, Sequence[CocoRow]] | None = None,
) -> None:
    """Write annotations and pictures, ids from 1; memory holds one instance.

    Args:
        file: Open for writing.
        info: Its ``info``.
        class_names: Of its categories.
        pictures: What is said of each, and of its instances (`describe_instance`), all without ids. The
            picture is written once its instances were taken.
        more: Other lists of the file, by name.
    """
    ids = {name: number for number, name in enumerate(class_names, start=1)}
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    file.write(b'{"info": ' + _json(info) + b', "categories": ' + _json(categories))
    for name, rows in (more or {}).items():
        file.write(b", " + _json(name) + b": " + _json(rows))
    file.write(b', "annotations": [')
    with tempfile.TemporaryFile() as images:
        number = image_id = 0
        for image_id, (picture, instances) in enumerate(pictures, start=1):
            for one in instances:
                number += 1
                row = {"id": number, "image_id": image_id, "category_id": ids[one["class_name"]], **one}
                del row["class_name"]
                file.write((b"\n" if number == 1 else b",\n") + _json(row))
            images.write((b"\n" if image_id == 1 else b",\n") + _json({"id": image_id, **picture}))
        file.write(b'], "images": [')
        images.seek(0)
        shutil.copyfileobj(images, file)
    file.write(b"]}\n")


def describe_instance(
    class_name: str, score: float, box_xyxy: tuple[float, float, float, float], mask: Rle
) -> dict[str, Any]:
    """Return what is said of an instance; the mask is as large as its picture."""
    x0, y0, x1, y1 = box_xyxy
    return {
        "class_name": class_name,
        "segmentation": mask.to_coco(),
        "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
        "area": int(areas_px([mask])[0]),
        "iscrowd": 0,
        "score": round(score, 4),
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
