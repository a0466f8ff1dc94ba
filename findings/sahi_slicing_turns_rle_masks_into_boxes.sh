#!/usr/bin/env bash
# sahi 0.12.8: slice_coco on a COCO file with RLE masks (valid COCO) replaces every such mask by its bounding box and drops
# the crowd flag. The sliced file is valid, so nobody is told: an evaluation or a training on it takes boxes for masks.
# Expected: the masks, or an error.
# Seen: an L of 111 px in RLE comes out as a polygon of 4 corners that covers its box of 400 px; a crowd region has iscrowd 0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  sahi==0.12.8 pycocotools==2.0.11 opencv-python-headless==4.13.0.92 pillow numpy
cd "$work"; "$work/venv/bin/python" - <<'PY'
import json
import logging
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as rle

logging.disable(logging.CRITICAL)
from sahi.slicing import slice_coco  # noqa: E402


def encoded(mask):
    made = rle.encode(np.asfortranarray(mask))
    return {"size": made["size"], "counts": made["counts"].decode()}


shape = np.zeros((80, 100), np.uint8)
shape[10:30, 10:13] = 1
shape[27:30, 10:30] = 1
crowd = np.zeros((80, 100), np.uint8)
crowd[50:60, 50:90] = 1
Path("pictures").mkdir()
Image.new("RGB", (100, 80), (90, 90, 90)).save("pictures/a.png")
rows = [
    {"id": n + 1, "image_id": 1, "category_id": 1, "iscrowd": n, "area": int(m.sum()), "segmentation": encoded(m),
     "bbox": rle.toBbox(encoded(m)).tolist()}
    for n, m in enumerate((shape, crowd))
]
Path("truth.json").write_text(json.dumps({
    "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}], "annotations": rows,
    "categories": [{"id": 1, "name": "part"}]}))
made, _ = slice_coco("truth.json", "pictures", "sliced", output_dir="out", slice_height=80, slice_width=100,
                     overlap_height_ratio=0, overlap_width_ratio=0, verbose=False)
out = made["annotations"]
for before, after in zip(rows, out, strict=True):
    print("crowd" if before["iscrowd"] else "object", before["area"], "px ->", after["area"], "px, iscrowd",
          after["iscrowd"], after["segmentation"])
print("true mask px:", int(shape.sum()))
assert out[0]["area"] == 400 and int(shape.sum()) == 111 and len(out[0]["segmentation"][0]) in (8, 10)
assert rows[1]["iscrowd"] == 1 and out[1]["iscrowd"] == 0
PY
