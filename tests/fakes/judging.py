"""Judging a COCO batch whose pictures are only told about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dataset.coco.document import read_coco
from dataset.coco.listing import picture_names
from dataset.coco.validation import FoundPicture, ValidationReport, validate_batch
from tests.fakes.coco_batches import HEIGHT_PX, WIDTH_PX


def found_picture(name, *, width=WIDTH_PX, height=HEIGHT_PX, orientation=1, digest=""):
    return FoundPicture(name, digest or f"digest of {name}", ".png", width, height, orientation, False, 0)


def judge(content: Any, tmp_path: Path, found: Any = None, **options: Any) -> ValidationReport:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    coco = read_coco(path)
    pictures = {name: found_picture(name) for name in picture_names(coco)}
    return validate_batch(coco, {**pictures, **(found or {})}, **options)


def codes(report: ValidationReport, severity: str | None = None) -> list[str]:
    return sorted(p.code for p in report.problems if severity in (None, p.severity))
