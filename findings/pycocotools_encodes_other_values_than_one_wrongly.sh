#!/usr/bin/env bash
# pycocotools 2.0.11: encode starts a new run wherever a value differs from the one before it, so a mask whose pixels are
# neither all 0 or 1 nor all 0 or one other value is encoded as another mask. Masks with a soft edge, and pictures of
# object numbers, are such. Nothing is raised; 255 in place of 1 works, which hides it.
# Expected: every pixel other than 0 belongs to the mask, or an error.
# Seen: a block of 400 px with a soft first row, or of two object numbers, comes back as 800 px, IoU 0.2.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pycocotools==2.0.11
cd "$work"; "$work/venv/bin/python" - <<'PY'
import numpy as np
from pycocotools import mask as rle

block = np.zeros((80, 100), np.uint8)
block[20:40, 30:50] = 1
seen = {}
soft = block * 255
soft[20] = soft[20] // 2
numbers = block.copy()
numbers[20:30] *= 2
for name, mask in (("0 and 1", block), ("0 and 255", block * 255), ("a soft first row", soft),
                   ("two object numbers", numbers)):
    back = rle.decode(rle.encode(np.asfortranarray(mask)))
    seen[name] = int(back.sum()), round(float((back & block).sum() / (back | block).sum()), 3)
    print(f"{name}: {int((mask > 0).sum())} px become {seen[name][0]} px, IoU {seen[name][1]}")
assert list(seen.values()) == [(400, 1.0), (400, 1.0), (800, 0.2), (800, 0.2)], "the behaviour has changed"
PY
