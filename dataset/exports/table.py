"""All writers."""

from __future__ import annotations

from typing import Final

from dataset.exports import coco, datumaro, label_studio, labelme, yolo
from dataset.exports.port import LabelWriter

WRITERS: Final[tuple[LabelWriter, ...]] = (
    coco.COCO,
    coco.FIFTYONE,
    datumaro.WRITER,
    label_studio.WRITER,
    labelme.WRITER,
    yolo.WRITER,
)
FORMATS: Final = tuple(writer.key for writer in WRITERS)


def find_writer(key: str) -> LabelWriter:
    """Return the writer of one of `FORMATS`."""
    return next(writer for writer in WRITERS if writer.key == key)
