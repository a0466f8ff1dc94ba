#!/usr/bin/env bash
# supervision 0.31.2: as_coco decides iscrowd by the shape of a mask. One with a hole, or of two parts, is written as RLE with
# iscrowd 1; one without as a polygon with iscrowd 0. Trainers leave crowd regions out, and evaluators forgive them: a data
# set of washers, or of objects behind a pole, has no objects of that kind any more.
# Expected: iscrowd 0 for single objects, whatever their shape.
# Seen: a block 0, a ring 1, two halves of one object 1.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check supervision==0.31.2 opencv-python-headless==4.13.0.92
cd "$work"; "$work/venv/bin/python" -W ignore - <<'PY'
import json
from pathlib import Path

import numpy as np
import supervision as sv
from PIL import Image

block, ring, halves = np.zeros((3, 80, 100), bool)
block[50:70, 70:90] = True
ring[5:45, 5:45] = True
ring[20:30, 20:30] = False
halves[5:15, 55:65] = halves[5:15, 75:85] = True
masks = np.stack([block, ring, halves])
Image.new("RGB", (100, 80), (90, 90, 90)).save("a.png")
found = sv.Detections(xyxy=sv.mask_to_xyxy(masks).astype(np.float32), mask=masks, class_id=np.array([0, 1, 2]))
names = ["block", "ring", "halves"]
sv.DetectionDataset(names, ["a.png"], {"a.png": found}).as_coco(annotations_path="out.json")
rows = json.loads(Path("out.json").read_text())["annotations"]
for name, row in zip(names, rows, strict=True):
    print(f"{name}: iscrowd {row['iscrowd']}, {type(row['segmentation']).__name__}")
assert [row["iscrowd"] for row in rows] == [0, 1, 1], "the behaviour has changed"
PY
