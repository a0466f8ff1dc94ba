"""Datumaro's own JSON, which holds everything: its COCO export would fill holes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from dataset.exports.port import ExportedPicture, ExportedVersion, LabelWriter, remarks_of, write_json

_MEDIA_TYPE_PICTURE: Final = 2


def write(version: ExportedVersion, folder: Path) -> tuple[str, ...]:
    """Write ``annotations/SPLIT.json``."""
    labels = [{"name": name, "parent": "", "attributes": []} for name in version.class_names]
    for split, pictures in version.by_split().items():
        content = {
            "dm_format_version": "1.0",
            "media_type": _MEDIA_TYPE_PICTURE,
            "infos": {},
            "categories": {"label": {"labels": labels, "label_groups": [], "attributes": []}},
            "items": [_item(picture) for picture in pictures],
        }
        write_json(folder / "annotations" / f"{split}.json", content)
    return ("",)


WRITER: Final = LabelWriter(
    "datumaro",
    "Datumaro JSON",
    "datumaro",
    lambda picture: f"images/{picture.split}/{picture.name}",
    write,
)


def _item(picture: ExportedPicture) -> dict[str, Any]:
    labelled = picture.labelled
    return {
        "id": picture.stem,
        "annotations": [
            {
                "id": number,
                "type": "mask",
                "attributes": {"is_crowd": instance.is_crowd},
                "group": number,
                "label_id": instance.class_index,
                "rle": instance.mask.to_coco(),
                "z_order": 0,
            }
            for number, instance in enumerate(labelled.instances, start=1)
        ],
        "attr": dict(remarks_of(labelled)),
        "image": {"path": picture.name, "size": [labelled.height_px, labelled.width_px]},
    }
