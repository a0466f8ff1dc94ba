"""What is given instead of a COCO file is named, with what to do about it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataset.coco.document import read_coco
from dataset.pictures.decoding import encode_png
from maskloop.errors import DataError
from tests.fakes.coco_batches import noise_pixels

LABELME: dict[str, Any] = {"version": "5.0", "shapes": [], "imagePath": "a.png", "imageData": None}
MISTAKES = {
    "YOLO's data.yaml": b"path: ../data\ntrain: images/train\nval: images/val\nnames:\n  0: bolt\n",
    "a YOLO label file": b"0 0.5 0.5 0.1 0.2\n1 0.1 0.1 0.2 0.2 0.3 0.3\n",
    "a PNG picture": encode_png(noise_pixels(1)),
    "a JPEG picture": b"\xff\xd8\xff\xe0" + b"\0" * 40,
    "a ZIP archive": b"PK\x03\x04" + b"\0" * 40,
    "an XML file of no labelling tool that is known": b"<?xml version='1.0'?><annotation></annotation>",
    "the boxes of Pascal VOC (XML)": b"<annotation><object><bndbox></bndbox></object></annotation>",
    "Label Studio's own JSON": json.dumps(
        [{"id": 1, "data": {"image": "/data/a.png"}, "annotations": [{"result": []}]}]
    ).encode(),
    "Label Studio's JSON-MIN": json.dumps(
        [{"image": "/data/a.png", "id": 1, "annotation_id": 2, "annotator": 1, "lead_time": 2.5}]
    ).encode(),
    "labelme's file of one picture": json.dumps(LABELME).encode(),
    "a VGG Image Annotator project": json.dumps({"a.png123": {"filename": "a.png", "regions": []}}).encode(),
    "a list of detections in COCO's results format": json.dumps(
        [{"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [0, 0, 1, 1]}]
    ).encode(),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_what_was_given_by_mistake_is_recognised_and_a_cure_is_named(what, tmp_path):
    (tmp_path / "file").write_bytes(MISTAKES[what])
    with pytest.raises(DataError) as caught:
        read_coco(tmp_path / "file")
    assert caught.value.headline == f"this is no COCO file: it looks like {what}"
    assert len(caught.value.hint) > 20


@pytest.mark.parametrize("content", [{}, [], [1], {"a": 1}, {"images": []}, 3, None, "text", {"a": {}}])
def test_other_json_says_what_it_lacks(content, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"no list of (images and )?annotations and categories"):
        read_coco(tmp_path / "a.json")
