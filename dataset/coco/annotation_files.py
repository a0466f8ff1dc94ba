"""Saying what a file is that no reader reads, with a hint how to convert it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

EXPORT_HINT: Final = (
    "export the labels again in COCO instance segmentation or another format that is read (Roboflow: "
    '"COCO Segmentation", CVAT: "CVAT for images 1.1", Label Studio: "JSON")'
)
VOC_BOXES: Final = "the boxes of Pascal VOC (XML)"
_PICTURES: Final = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"RIFF": "a WebP picture",
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
}
_YOLO_LINE: Final = re.compile(r"\d+( -?[\d.eE+-]+){4,}\s*")
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_START_BYTES: Final = 20_000
_NAMES_SHOWN: Final = 5
_MOST_FILES_OPENED: Final = 100


def describe_folder(path: Path) -> str:
    """Say which labels of another kind a folder holds, or which JSON file in it is broken, or nothing."""
    inside = sorted(file for pattern in ("*.json", "*/*.json") for file in path.glob(pattern))
    texts = [path / "data.yaml", *inside[:_MOST_FILES_OPENED], *sorted(path.glob("*.txt"))]
    files = [*texts, *sorted(path.glob("*.xml")), *sorted(path.glob("*/*.xml"))[:_MOST_FILES_OPENED]]
    if known := next((said for file in files if file.is_file() and (said := _describe_file(file))), ""):
        return known
    broken = next(
        (file for file in inside[:_MOST_FILES_OPENED] if file.is_file() and _load(file) is None), None
    )
    if broken:
        return f"{broken.relative_to(path).as_posix()}, which {_describe_damage(broken)}"
    tables, archives = (sorted(path.glob(pattern)) for pattern in ("*.csv", "*.zip"))
    if tables:
        return f"a table, {tables[0].name}, where JSON is needed"
    return f"another archive, {archives[0].name}, which has to be unpacked" if archives else ""


def _describe_damage(file: Path) -> str:
    try:
        start = file.read_bytes()[:_START_BYTES]
    except OSError:
        return "cannot be read"
    if not start.strip():
        return "is empty"
    return "is UTF-16 and has to be UTF-8" if start.startswith(_UTF16_MARKS) else "is not valid JSON"


def describe_foreign_bytes(data: bytes) -> str:
    """Say what a file looks like that is no JSON, or nothing.

    >>> describe_foreign_bytes(b"names: [bolt]\\ntrain: images/train\\n")
    "YOLO's data.yaml"
    """
    for start, what in _PICTURES.items():
        if data.startswith(start):
            return what
    if data.startswith(b"PK\x03\x04"):
        return "a ZIP archive"
    text = data[:20_000].decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
    if text.startswith("<"):
        is_voc = any(tag in text for tag in ("<bndbox", "<segmented>"))
        return VOC_BOXES if is_voc else "an XML file of no labelling tool that is known"
    if re.search(r"^names\s*:", text, re.MULTILINE) and re.search(r"^(train|val|nc|path)\s*:", text, re.M):
        return "YOLO's data.yaml"
    lines = text.splitlines()[:_NAMES_SHOWN]
    if lines and all(_YOLO_LINE.fullmatch(line) for line in lines):
        return "a YOLO label file"
    return ""


def describe_foreign_json(content: Any) -> str:
    """Say what JSON looks like that is no COCO file, or nothing.

    >>> describe_foreign_json({"shapes": [], "imagePath": "a.png"})
    "labelme's file of one picture"
    """
    if isinstance(content, dict):
        if "shapes" in content and ("imagePath" in content or "imageData" in content):
            return "labelme's file of one picture"
        if "_via_img_metadata" in content or _all_have(list(content.values()), "regions"):
            return "a VGG Image Annotator project"
        return ""
    if isinstance(content, list):
        if _all_have(content, "data") and (_all_have(content, "annotations") or _all_have(content, "id")):
            return "Label Studio's own JSON"
        if _all_have(content, "annotation_id") and _all_have(content, "lead_time"):
            return "Label Studio's JSON-MIN"
        if _all_have(content, "image_id") and _all_have(content, "score"):
            return "a list of detections in COCO's results format"
    return ""


def advise(what: str) -> str:
    """Return what to do with a file that looks like something else.

    >>> advise("a ZIP archive")
    'unpack it and name the annotation file in it'
    """
    if what == "a ZIP archive":
        return "unpack it and name the annotation file in it"
    if what.endswith("picture"):
        return "name the folder: masks painted as pictures are read from masks/ beside images/"
    if what == "Label Studio's own JSON":
        return 'in Label Studio choose Export, then "JSON", which holds the annotations too'
    if what == "Label Studio's JSON-MIN":
        return "leave --format out: it is read as what it is"
    if what == VOC_BOXES:
        return (
            "maskloop learns masks: name the folder that holds SegmentationObject and SegmentationClass, or "
            f"{EXPORT_HINT}"
        )
    if what == "a list of detections in COCO's results format":
        return "these are a model's answers, not labels; name the COCO file with the labels"
    if "YOLO" in what:
        return "name the folder that holds data.yaml, images/ and labels/"
    if "labelme" in what:
        return "name the folder with labelme's files and the pictures, without --format"
    return EXPORT_HINT


def _all_have(values: Sequence[Any], key: str) -> bool:
    return bool(values) and all(isinstance(value, dict) and key in value for value in values)


def _describe_file(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            start = opened.read(20_000)
    except OSError:
        return ""
    return describe_foreign_bytes(start) or describe_foreign_json(_load(file))


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
