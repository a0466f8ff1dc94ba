#!/usr/bin/env bash
# label-studio-sdk 2.1.2: the converter's COCO format leaves out every brush mask of a picture, keeps the picture in
# `images`, and ends without an error. A picture whose objects were all painted looks like a picture without objects:
# a detector trained on the file learns them as background.
# Expected: an RLE, or an error, or no such picture.
# Seen: 1 picture, 0 annotations for a painted object; 1 of 2 objects where one was painted and one drawn.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check label-studio-sdk==2.1.2 pillow numpy
cd "$work"; "$work/venv/bin/python" -W ignore - <<'PY'
import json
import logging
from pathlib import Path

import numpy as np
from PIL import Image

logging.disable(logging.CRITICAL)
from label_studio_sdk.converter import Converter  # noqa: E402
from label_studio_sdk.converter.brush import mask2rle  # noqa: E402

Path("pictures").mkdir()
Image.new("RGB", (100, 80), (90, 90, 90)).save("pictures/a.png")
mask = np.zeros((80, 100), np.uint8)
mask[10:30, 10:30] = 255
frame = {"original_width": 100, "original_height": 80, "image_rotation": 0, "to_name": "image"}
brush = {**frame, "id": "b", "from_name": "brush", "type": "brushlabels",
         "value": {"format": "rle", "rle": mask2rle(mask), "brushlabels": ["part"]}}
polygon = {**frame, "id": "p", "from_name": "outline", "type": "polygonlabels",
           "value": {"points": [[50, 50], [70, 50], [70, 75]], "polygonlabels": ["part"], "closed": True}}
config = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="part"/></BrushLabels>
<PolygonLabels name="outline" toName="image"><Label value="part"/></PolygonLabels></View>"""
counts = []
for name, drawn in (("painted", [brush]), ("painted and drawn", [brush, polygon])):
    task = [{"id": 1, "data": {"image": str(Path("pictures/a.png").absolute())},
             "annotations": [{"id": 1, "result": drawn, "completed_by": 1, "was_cancelled": False}]}]
    Path("export.json").write_text(json.dumps(task))
    out = Path("out " + name)
    Converter(config, str(Path("pictures").absolute()), download_resources=False).convert_to_coco(
        "export.json", str(out), is_dir=False)
    made = json.loads((out / "result.json").read_text())
    counts.append((len(made["images"]), len(made["annotations"])))
    print(f"{name}: {len(drawn)} objects -> {counts[-1][0]} picture, {counts[-1][1]} annotations")
assert counts == [(1, 0), (1, 1)], "the behaviour has changed"
PY
