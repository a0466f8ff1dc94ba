"""Which tool wrote a batch: what the file says of itself, or else what the fields of its lists tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dataset.coco.document import CocoFile

LABEL_STUDIO: Final = "Label Studio"
SAHI: Final = "SAHI"
SUPERVISELY: Final = "Supervisely"

_Record = Mapping[str, Any]


@dataclass(frozen=True)
class _Writer:
    """A tool, and what is to be seen in the first image, annotation and category that it writes."""

    name: str
    wrote: Callable[[_Record, _Record, _Record], bool]


_WRITERS: Final = (
    _Writer(
        "datumaro or CVAT",
        lambda image, _annotation, _category: "flickr_url" in image and image.get("date_captured") == 0,
    ),
    _Writer(
        "supervision",
        lambda image, _annotation, category: (
            image.get("license") == 1 and category.get("supercategory") == "common-objects"
        ),
    ),
    _Writer(SAHI, lambda _image, annotation, _category: [*annotation][:3] == ["iscrowd", "image_id", "bbox"]),
)


def name_tool(coco: CocoFile) -> str:
    """Return the tool that wrote a batch, or an empty string if nothing tells it."""
    if coco.tool.casefold().startswith(LABEL_STUDIO.casefold()):  # also "Label Studio Converter"
        return LABEL_STUDIO
    if coco.tool:
        return coco.tool
    lists = (coco.images, coco.annotations, coco.categories)
    first = [next((each for each in records if isinstance(each, dict)), {}) for records in lists]
    return next((writer.name for writer in _WRITERS if writer.wrote(*first)), "")
