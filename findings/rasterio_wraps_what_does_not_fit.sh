#!/usr/bin/env bash
# rasterio 1.4.4: writing values that do not fit the file's type wraps them (300 becomes 44, -1 becomes 255, 65,536 becomes 0), for
# the array is cast by NumPy before GDAL sees it. GDAL itself clamps, and so does rasterio's own features.rasterize, so a map of
# object numbers, or a score in per cent, is spoilt differently by two functions of one library. Nothing is raised or warned.
# Expected: clamped as GDAL does, or refused, as rasterio refuses a nodata value that does not fit.
# Seen: 300, -1 and 65,536 written to uint8: 44, 255 and 0; burnt by rasterize into uint8: 255, 0 and 255.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" rasterio==1.4.4 numpy==2.4.6
cd "$work"; "$work/venv/bin/python" -W error -W ignore::PendingDeprecationWarning - <<'PY'
import numpy as np
import rasterio
from rasterio.features import rasterize
from rasterio.transform import from_origin

SHAPE = {"height": 4, "width": 4, "count": 1, "driver": "GTiff", "dtype": "uint8", "transform": from_origin(0, 4, 1, 1)}
SQUARE = {"type": "Polygon", "coordinates": [[(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]]}
seen = {}
for value in (300, -1, 65_536):
    with rasterio.open("map.tif", "w", **SHAPE) as file:
        file.write(np.full((4, 4), value, np.int32), 1)
    with rasterio.open("map.tif") as file:
        written = int(file.read(1).max())
    burnt = int(rasterize([(SQUARE, value)], out_shape=(4, 4), dtype="uint8").max())
    seen[value] = written, burnt
    print(f"{value}: written {written}, burnt by rasterize {burnt}")
assert seen == {300: (44, 255), -1: (255, 0), 65_536: (0, 255)}, "the behaviour has changed"
try:
    rasterio.open("other.tif", "w", **SHAPE, nodata=300)
    raise SystemExit("the behaviour has changed: nodata of 300 is accepted")
except ValueError as error:
    print("nodata 300:", error)
PY
