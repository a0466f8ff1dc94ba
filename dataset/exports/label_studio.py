"""Tasks of Label Studio with a brush for every object: its polygons have neither holes nor parts.

Pictures are named as files below the folder from which a server may serve local files. Label Studio has no
crowd regions: as objects they would be taught as such, so they are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from maskloop.pages.class_colours import class_colour

_TASKS: Final = "tasks.json"
_ADDRESS: Final = "/data/local-files/?d="


def write(version: ExportedVersion, folder: Path) -> tuple[str, ...]:
    """Write ``tasks.json`` and, for the project's settings, ``interface.xml``."""
    tasks = [
        _task(number, picture, version.class_names)
        for number, picture in enumerate(version.pictures, start=1)
    ]
    write_json(folder / _TASKS, tasks)
    write_label_text(folder / "interface.xml", f"<View>{write_controls(version.class_names)}</View>")
    return (_TASKS,)


def write_controls(class_names: Sequence[str]) -> str:
    """Return what a labelling interface draws with: brush and polygon for every class, then the picture.

    Classes stand above the picture, where they need no scrolling, in the colours that pages give them:
    Label Studio's own are hard to tell apart.
    """
    labels = "".join(
        f'<Label value={quoteattr(name)} background="#{bytes(class_colour(index)).hex()}"/>'
        for index, name in enumerate(class_names)
    )
    return (
        '<View style="display: flex; flex-wrap: wrap; align-items: center; column-gap: 1rem">'
        f'{write_line("Brush")}<BrushLabels name="brush" toName="image">{labels}</BrushLabels>'
        f'{write_line("Polygon")}<PolygonLabels name="polygon" toName="image">{labels}</PolygonLabels>'
        '</View><Image name="image" value="$image" zoom="true" zoomControl="true"/>'
    )


def write_line(text: str) -> str:
    """Return a line of ordinary size: with large ones the picture begins below the middle of a screen."""
    style = "font-size: 0.9rem; font-weight: 400; margin: 0 0 0.25rem"
    return f'<Header value="{text}" size="6" style="{style}"/>'


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
