"""Damaged files are refused by name or cost pictures; nothing else is raised, whichever format it is."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset.coco.document import CocoFile
from dataset.coco.validation import validate_batch
from dataset.formats.port import LabelSource
from dataset.problems import DataProblem
from dataset.readers.table import READERS, read_labels
from maskloop.errors import MaskloopError
from tests.fakes import cvat_files, datumaro_files, via_files, yolo_files
from tests.fakes.label_scene import write_scene_pictures

_FRAGMENTS = (
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"[]",
    b"{}",
    b'""',
    b"true",
    b"9" * 30,
    b"\xff",
    b"<",
    b"/>",
    b"0",
)
_VALUE = re.compile(rb'-?\d+\.?\d*|"[^"]*"|[\[\]{}]')
WRITERS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "cvat": (cvat_files.write_masks, "annotations.xml", "images"),
    "datumaro": (datumaro_files.write_masks, "annotations/default.json", "images"),
    "via": (via_files.write_regions, "via_export_json.json", "."),
    "yolo": (yolo_files.write_lines, "labels/train/scene.txt", "images/train"),
}


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Change one to three places: a byte, a gap, a fragment, the end, or a value for another."""
    for _ in range(chance.choice([1, 1, 3])):
        at, kind = chance.randrange(len(data) or 1), chance.randrange(5)
        if kind == 0:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[at + chance.randrange(30) :]
        elif kind == 2:
            data = data[:at] + chance.choice(_FRAGMENTS) + data[at:]
        elif kind == 3 and chance.random() < 0.3:
            data = data[:at]
        elif values := [*_VALUE.finditer(data)]:
            found = chance.choice(values)
            data = data[: found.start()] + chance.choice(_FRAGMENTS) + data[found.end() :]
    return data


def read_and_judge(folder: Path, key: str) -> CocoFile:
    source = LabelSource(folder)
    for reader in READERS:
        reader.recognises(source)
    coco = read_labels(source, key=key)
    gone = {image["file_name"]: DataProblem("error", "gone", "", "") for image in coco.images}
    validate_batch(coco, gone)
    return coco


@pytest.mark.parametrize("key", WRITERS)
def test_a_damaged_file_is_refused_or_costs_pictures(key: str, tmp_path: Path) -> None:
    write, name, pictures = WRITERS[key]
    write_scene_pictures(tmp_path / pictures)
    write(tmp_path)
    whole, chance, num_told = (tmp_path / name).read_bytes(), random.Random(1), 0
    assert read_and_judge(tmp_path, key).problems == ()
    for _ in range(150):
        (tmp_path / name).write_bytes(damaged(whole, chance))
        try:
            num_told += bool(read_and_judge(tmp_path, key).problems)
        except MaskloopError:
            num_told += 1
    assert num_told > 30
