#!/usr/bin/env bash
# datumaro 1.13.12: Mask annotations are exported to COCO with iscrowd 1, unless each says is_crowd False; then they become
# polygons without their holes, one pixel short. segmentation_mode="mask" sets iscrowd 1 whatever they say. So no setting
# gives an ordinary object as RLE, and a data set of masks becomes one of crowd regions, which trainers skip.
# Expected: iscrowd 0, with the mask as it was.
# Seen: iscrowd 1 as RLE by default, and with segmentation_mode="mask" although is_crowd is False; else 1,521 of 1,500 px.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check datumaro==1.13.12
cd "$work"; "$work/venv/bin/python" -W ignore - <<'PY'
import json
from pathlib import Path

import datumaro as dm
import numpy as np
from datumaro.components.annotation import Mask
from datumaro.components.media import Image

ring = np.zeros((80, 100), bool)
ring[5:45, 5:45] = True
ring[20:30, 20:30] = False
seen = []
for told, attributes, options in (
    ("nothing said", {}, {}),
    ("is_crowd False", {"is_crowd": False}, {}),
    ("is_crowd False, segmentation_mode mask", {"is_crowd": False}, {"segmentation_mode": "mask"}),
):
    item = dm.DatasetItem("a", media=Image.from_numpy(np.zeros((80, 100, 3), np.uint8)),
                          annotations=[Mask(ring, label=0, attributes=attributes)])
    dm.Dataset.from_iterable([item], categories=["nut"]).export(told, "coco_instances", **options)
    (row,) = json.loads(Path(told, "annotations/instances_default.json").read_text())["annotations"]
    kind = "RLE" if isinstance(row["segmentation"], dict) else f"{len(row['segmentation'])} polygon"
    seen.append((row["iscrowd"], kind, row["area"]))
    print(f"{told}: iscrowd {row['iscrowd']}, {kind}, area {row['area']} of {int(ring.sum())} px")
assert seen == [(1, "RLE", 1500), (0, "1 polygon", 1521), (1, "RLE", 1500)], "the behaviour has changed"
PY
