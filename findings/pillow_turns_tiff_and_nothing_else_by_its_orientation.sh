#!/usr/bin/env bash
# Pillow 13.0.0: a TIFF with an Orientation tag comes turned upright out of Image.open: `size` is the turned one, the pixels are,
# and the tag is gone after loading. A JPEG, PNG or WebP with the same tag comes as stored. tifffile, scikit-image and imageio
# give the stored pixels of the TIFF too, so outlines drawn in one reader lie elsewhere in another.
# Expected: no format is turned without ImageOps.exif_transpose; one convention in one library.
# Seen: 60 x 40 px under Orientation 6: Pillow (40, 60) for TIFF and (60, 40) for the others; tifffile, scikit-image and imageio
# 60 x 40 px for TIFF.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" pillow==13.0.0 tifffile==2026.3.3 scikit-image==0.26.0 imageio==2.38.1 numpy==2.4.6
cd "$work"; "$work/venv/bin/python" -W ignore - <<'PY'
import imageio.v3
import numpy as np
import skimage.io
import tifffile
from PIL import ExifTags, Image

pixels = np.zeros((40, 60, 3), np.uint8)
pixels[:10] = 200
tag = Image.Exif()
tag[ExifTags.Base.Orientation] = 6
for ending in ("tif", "jpg", "png", "webp"):
    name = f"belt.{ending}"
    Image.fromarray(pixels).save(name, exif=tag)
    with Image.open(name) as image:
        stated, before = image.size, image.getexif().get(ExifTags.Base.Orientation)
        image.load()
        loaded, after = image.size, image.getexif().get(ExifTags.Base.Orientation)
    print(f"{ending}: Pillow {stated}, loaded {loaded}, tag {before} then {after}")
    turned = ending == "tif"
    assert stated == loaded == ((40, 60) if turned else (60, 40)), "the behaviour has changed"
    assert (before, after) == (6, None if turned else 6), "the behaviour has changed"
for reader in (tifffile.imread, skimage.io.imread, imageio.v3.imread):
    read = reader("belt.tif")
    print(f"tif: {reader.__module__.split('.')[0]} {read.shape[1::-1]}")
    assert np.array_equal(read, pixels), "the behaviour has changed"
PY
