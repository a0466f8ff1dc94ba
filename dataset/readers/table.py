"""All readers, and which of them a source is for."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dataset.coco.document import CocoFile
from dataset.formats.port import LabelReader, LabelSource
from dataset.painted import reader as painted
from dataset.readers import coco, cvat, datumaro, label_studio, labelme, labelme_xml, supervisely, via, yolo
from maskloop.errors import DataError

READERS: Final[tuple[LabelReader, ...]] = (
    coco.READER,
    cvat.READER,
    datumaro.READER,
    label_studio.READER,
    labelme.READER,
    labelme_xml.READER,
    painted.READER,
    supervisely.READER,
    via.READER,
    yolo.READER,
)
FORMATS: Final = tuple(reader.key for reader in READERS)


def read_labels(source: LabelSource, *, key: str = "") -> CocoFile:
    """Read labels in whatever format they are in.

    Args:
        source: What a person named.
        key: One of `FORMATS`; empty: it is told by content.

    Raises:
        DataError: if no reader knows it, if two do, if it cannot be read, or if a person named an annotator
            and the format has one annotation of each picture.
        NotFoundError: if it went.
    """
    reader = choose_reader(source, READERS, key=key)
    if source.annotator and not reader.chooses_annotators:
        hint = "leave --annotator out; Label Studio's JSON is the format that holds several"
        headline = f"{reader.format} holds one annotation of each picture"
        raise DataError(headline, where=str(source.named), hint=hint)
    coco = reader.read(source)
    place = source.place_of_folder(coco.images_dir) if coco.images_dir else None
    return replace(coco, images_place=place)


def choose_reader(source: LabelSource, readers: tuple[LabelReader, ...], *, key: str = "") -> LabelReader:
    """Return the reader a person named, or the only one that recognises a source.

    Where none does, it is COCO's, which says what is there instead.

    Raises:
        DataError: if two do.
    """
    if key:
        return next(reader for reader in readers if reader.key == key)
    found = [reader for reader in readers if reader.recognises(source)]
    if len(found) > 1:
        raise DataError(
            f"this can be read as {' and as '.join(reader.format for reader in found)}",
            where=str(source.named),
            hint=f"say which it is: {' or '.join(f'--format {reader.key}' for reader in found)}",
        )
    return found[0] if found else coco.READER
