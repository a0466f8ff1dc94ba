"""Batches of drawn masks, written as RLE, as outlines of pixel edges or as contours of pixel centres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes

from dataset.bends.evidence import Batch, Evidence, gather_evidence
from dataset.bends.mending import Mended, judge_bends
from dataset.bends.tools import name_tool
from dataset.coco.document import CocoFile, coco_from
from dataset.coco.validation import Reading, ValidationReport, validate_batch
from dataset.problems import DataProblem
from maskloop.masks import encode_masks
from tests.fakes.contours import Mask, as_polygons, trace_edges, trace_holes, trace_outer
from tests.fakes.judging import found_picture

SIDE_PX = 40
Write = Callable[[Mask], Any]
"""Makes a COCO segmentation of a mask, bool (H, W)."""


def as_rle(mask: Mask) -> Any:
    return encode_masks(mask[None])[0].to_coco()


def as_edges(mask: Mask) -> Any:
    return trace_edges(mask)


def as_contours(mask: Mask) -> Any:
    """As OpenCV's findContours gives them, outer ones alone."""
    return as_polygons(trace_outer(mask))


def as_contours_with_holes(mask: Mask) -> Any:
    return as_polygons([*trace_outer(mask), *trace_holes(mask)])


def write_masks(masks: Sequence[Mask], write: Write, *, is_told: bool = False, **extra: Any) -> CocoFile:
    """Write one mask a picture; with ``is_told`` the masks' own boxes and areas as well."""
    images, annotations = [], []
    for number, mask in enumerate(masks, start=1):
        height, width = mask.shape
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        one = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "segmentation": write(mask)}
        told = {"bbox": box_of(mask), "area": int(mask.sum())} if is_told else {}
        annotations.append({**one, **told, **extra})
    categories = [{"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"}]
    return coco_from({"images": images, "annotations": annotations, "categories": categories}, Path("a.json"))


def box_of(mask: Mask) -> list[int]:
    rows, columns = np.nonzero(mask)
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]


def validate(batch: Batch) -> ValidationReport:
    found = {
        each["file_name"]: found_picture(each["file_name"], width=each["width"], height=each["height"])
        for each in batch.coco.images
    }
    return validate_batch(batch.coco, found, reading=batch.reading)


def evidence_of(coco: CocoFile, reading: Reading | None = None) -> Evidence:
    reading = reading or Reading()
    return gather_evidence(coco, reading, validate(Batch(coco, reading)), name_tool(coco))


def bends_of(
    coco: CocoFile, *, is_mending: bool = False
) -> tuple[ValidationReport, tuple[DataProblem, ...], Mended]:
    return judge_bends(Batch(coco, Reading()), validate, is_mending=is_mending)


def bend_codes(coco: CocoFile) -> list[str]:
    return [problem.code for problem in bends_of(coco)[1]]


def read_rles(report: ValidationReport) -> list[dict[str, Any]]:
    """Return the masks of the kept pictures, by number."""
    pictures = sorted(report.usable, key=lambda one: int(Path(one.found.name).stem))
    return [one.mask.to_coco() for picture in pictures for one in picture.instances]


def blobs(*, has_holes: bool = False) -> st.SearchStrategy[Mask]:
    """Masks of one to four rectangles that are at least 3 px thick, with or without holes and notches."""
    return st.integers(0, 2**32).map(lambda seed: _draw_blob(np.random.default_rng(seed), has_holes))


def _draw_blob(random: np.random.Generator, has_holes: bool) -> Mask:
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    for _ in range(random.integers(1, 5)):
        left, top = random.integers(0, SIDE_PX - 2, 2)
        width, height = random.integers(3, 20, 2)
        mask[top : top + height, left : left + width] = True
    if not has_holes:
        return np.asarray(binary_fill_holes(mask))
    left, top = random.integers(0, SIDE_PX, 2)
    width, height = random.integers(1, 9, 2)
    mask[top : top + height, left : left + width] = False
    return mask


def draw_l(number: int, *, size_px: int = 12) -> Mask:
    """An L, whose contour has one diagonal step; each number another place."""
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    left, top = number * 3 % (SIDE_PX - size_px), number * 5 % (SIDE_PX - size_px)
    mask[top : top + size_px, left : left + 4] = True
    mask[top + size_px - 4 : top + size_px, left : left + size_px] = True
    return mask


def draw_ring(number: int) -> Mask:
    """A square of 12 px with a hole of 4."""
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
    left, top = 1 + number * 3 % 20, 1 + number * 5 % 20
    mask[top : top + 12, left : left + 12] = True
    mask[top + 4 : top + 8, left + 4 : left + 8] = False
    return mask
