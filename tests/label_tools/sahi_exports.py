"""Sahi's files of the scene: sliced from COCO, and read and written by its ``Coco`` class."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import numpy as np
from sahi.slicing import slice_coco
from sahi.utils.coco import Coco, CocoAnnotation

from tests.label_tools import scene


def _sliced(*, all_rle: bool) -> scene.Export:
    """Cut the scene into slices of its own size: one."""

    def write(pictures: Path, out: Path) -> None:
        truth = scene.save_json(Path("truth.json"), scene.coco_document(all_rle=all_rle))
        slice_coco(
            str(truth),
            str(pictures),
            "sliced",
            output_dir=str(out),
            slice_height=scene.HEIGHT_PX,
            slice_width=scene.WIDTH_PX,
            overlap_height_ratio=0,
            overlap_width_ratio=0,
            verbose=False,
        )

    return write


def _round_trip(*, all_rle: bool) -> scene.Export:
    def write(pictures: Path, out: Path) -> None:
        truth = scene.save_json(Path("truth.json"), scene.coco_document(all_rle=all_rle))
        scene.save_json(out / "again.json", Coco.from_coco_dict_or_path(str(truth), str(pictures)).json)

    return write


def read(pictures: Path, file: Path) -> list[tuple[str, scene.Mask, bool]]:
    """Load COCO; an object without polygons is drawn as sahi's slicing writes it: as its box."""
    coco = Coco.from_coco_dict_or_path(str(file), str(pictures))
    (one,) = (each for each in coco.images if each.file_name == scene.SCENE)
    return [(each.category_name, _drawn(each), bool(each.iscrowd)) for each in one.annotations]


def _drawn(annotation: CocoAnnotation) -> scene.Mask:
    left, top, width, height = (round(side) for side in annotation.bbox)
    mask = np.zeros((scene.HEIGHT_PX, scene.WIDTH_PX), np.uint8)
    if annotation.segmentation:
        raise AssertionError("it reads RLE now, so draw its polygons")
    mask[top : top + height, left : left + width] = 1
    return mask


EXPORTS: Final[dict[str, scene.Export]] = {
    "slices-of-mixed": _sliced(all_rle=False),
    "slices-of-rle": _sliced(all_rle=True),
    "coco-of-mixed": _round_trip(all_rle=False),
    "coco-of-rle": _round_trip(all_rle=True),
}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    scene.main("sahi", EXPORTS, reads=read)
