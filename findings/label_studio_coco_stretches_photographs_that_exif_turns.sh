#!/usr/bin/env bash
# label-studio-sdk 2.1.2: of a photograph that EXIF turns by a quarter, the editor shows and stores per cents of the upright
# picture. The COCO export multiplies them with the width and height of the file as it is stored. Its outlines fit neither the
# stored nor the upright picture, and the size in the file looks like a proof that they are meant for the stored one.
# Expected: 80 x 100 px, and an outline from (10, 60) to (30, 90) as it was drawn.
# Seen: 100 x 80 px, and an outline from (12.5, 48) to (37.5, 72); IoU 0 with the object in either frame.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check label-studio-sdk==2.1.2 pillow numpy
cd "$work"; "$work/venv/bin/python" -W ignore - <<'PY'
import json
import logging
from pathlib import Path

from PIL import Image, ImageOps

logging.disable(logging.CRITICAL)
from label_studio_sdk.converter import Converter  # noqa: E402

Path("pictures").mkdir()
photo = Path("pictures/a.jpg").absolute()
exif = Image.Exif()
exif[0x0112] = 6  # a quarter to the right
Image.new("RGB", (100, 80), (90, 90, 90)).save(photo, exif=exif)
upright = ImageOps.exif_transpose(Image.open(photo)).size
corners = [(10, 60), (30, 60), (30, 90), (10, 90)]
drawn = {"id": "p", "type": "polygonlabels", "from_name": "outline", "to_name": "image", "image_rotation": 0,
         "original_width": upright[0], "original_height": upright[1],
         "value": {"points": [[100 * x / upright[0], 100 * y / upright[1]] for x, y in corners],
                   "polygonlabels": ["part"], "closed": True}}
task = [{"id": 1, "data": {"image": str(photo)},
         "annotations": [{"id": 1, "result": [drawn], "completed_by": 1, "was_cancelled": False}]}]
Path("tasks.json").write_text(json.dumps(task))
config = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image"><Label value="part"/></PolygonLabels></View>"""
Converter(config, "pictures", download_resources=False).convert_to_coco("tasks.json", "out", is_dir=False)
made = json.loads(Path("out/result.json").read_text())
size = made["images"][0]["width"], made["images"][0]["height"]
(outline,) = made["annotations"][0]["segmentation"]
seen = [tuple(round(side, 6) for side in outline[place : place + 2]) for place in (0, 4)]
print(f"upright {upright[0]} x {upright[1]} px, in the file {size[0]} x {size[1]} px")
print(f"drawn from {corners[0]} to {corners[2]}, in the file from {seen[0]} to {seen[1]}")
assert upright == (80, 100) and size == (100, 80), "the behaviour has changed"
assert seen == [(12.5, 48.0), (37.5, 72.0)], "the behaviour has changed"
PY
