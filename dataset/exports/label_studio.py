"""Tasks of Label Studio with a brush for every object: its polygons have neither holes nor parts.

Pictures are named as files below the folder from which a server may serve local files. Label Studio has no
crowd regions: as objects they would be taught as such, so they are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from dataset.exports.port import (
    ExportedPicture,
    ExportedVersion,
    LabelWriter,
    remarks_of,
    write_json,
    write_label_text,
)
from dataset.formats.brushes import write_brush
from dataset.labelled_pictures import LabelledInstance

_TASKS: Final = "tasks.json"
_ADDRESS: Final = "/data/local-files/?d="


def write(version: ExportedVersion, folder: Path) -> tuple[str, ...]:
    """Write ``tasks.json`` and, for the project's settings, ``interface.xml``."""
    tasks = [
        _task(number, picture, version.class_names)
        for number, picture in enumerate(version.pictures, start=1)
    ]
    write_json(folder / _TASKS, tasks)
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in version.class_names)
    write_label_text(
        folder / "interface.xml",
        '<View><Image name="image" value="$image" zoom="true" zoomControl="true"/>'
        f'<BrushLabels name="brush" toName="image">{labels}</BrushLabels></View>',
    )
    return (_TASKS,)


WRITER: Final = LabelWriter(
    "label-studio", "Label Studio JSON", "label-studio", lambda picture: f"images/{picture.name}", write
)


def _task(number: int, picture: ExportedPicture, class_names: tuple[str, ...]) -> dict[str, Any]:
    drawn = [one for one in picture.labelled.instances if not one.is_crowd]
    regions = [_region(f"{number}-{at}", one, class_names) for at, one in enumerate(drawn, start=1)]
    data = {"image": f"{_ADDRESS}images/{quote(picture.name)}", **remarks_of(picture.labelled)}
    return {"id": number, "data": data, "annotations": [{"result": regions}]}


def _region(key: str, instance: LabelledInstance, class_names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "id": key,
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "original_width": instance.mask.width_px,
        "original_height": instance.mask.height_px,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": write_brush(instance.mask),
            "brushlabels": [class_names[instance.class_index]],
        },
    }
