"""YOLO's folders for segmentation: a line an object, its outline along the edges of pixels.

Parts and holes are joined to one outline by lines there and back, as ultralytics joins parts. It has no crowd
regions: as objects they would be taught as such, so they are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from dataset.exports.edges import join_rings, trace_rings
from dataset.exports.port import ExportedPicture, ExportedVersion, LabelWriter, write_label_text
from dataset.labelled_pictures import LabelledInstance


def write(version: ExportedVersion, folder: Path) -> tuple[str, ...]:
    """Write ``labels/SPLIT/STEM.txt``, empty for pictures without objects, and ``data.yaml``."""
    for picture in version.pictures:
        lines = [_line(one) for one in picture.labelled.instances if not one.is_crowd]
        write_label_text(folder / "labels" / picture.split / f"{picture.stem}.txt", "\n".join(lines))
    content: dict[str, Any] = {split: f"images/{split}" for split in version.by_split()}
    content["names"] = dict(enumerate(version.class_names))
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
    write_label_text(folder / "data.yaml", text.rstrip("\n"))
    return ("",)


def _place(picture: ExportedPicture) -> str:
    return f"images/{picture.split}/{picture.name}"


WRITER: Final = LabelWriter("yolo", "YOLO segmentation", "yolo", _place, write)


def _line(instance: LabelledInstance) -> str:
    mask = instance.mask
    outline = join_rings(trace_rings(mask))
    shares = (f"{x / mask.width_px:.6f} {y / mask.height_px:.6f}" for x, y in outline)
    return f"{instance.class_index} {' '.join(shares)}"
