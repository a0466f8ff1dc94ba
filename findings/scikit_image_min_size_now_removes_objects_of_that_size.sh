#!/usr/bin/env bash
# scikit-image 0.26.0: min_size of remove_small_objects is deprecated, and its warning says that only the new max_size removes
# objects of exactly the given size. But the value is handed on to max_size, so min_size removes them too since 0.26.0, and
# old code that still runs gives other masks. remove_small_holes does the same with area_threshold.
# Expected: the deprecated name keeps its old meaning until it goes.
# Seen: objects of 3, 4 and 5 px, min_size=4: 9 px stay with 0.25.2, 5 px with 0.26.0. Holes of 1 and 2 px in a block of 17 px,
# area_threshold=2: 1 px is filled with 0.25.2, 3 px with 0.26.0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
cat > "$work/clean.py" <<'PY'
import warnings

import numpy as np
import skimage
from skimage.morphology import remove_small_holes, remove_small_objects

objects = np.zeros((7, 7), bool)
objects[0, :3] = objects[2, :4] = objects[4, :5] = True
block = np.ones((4, 5), bool)
block[1, 1] = block[2, 2:4] = False
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    kept = remove_small_objects(objects, min_size=4)
    filled = remove_small_holes(block, area_threshold=2)
print(f"{skimage.__version__}: {kept.sum()} of {objects.sum()} px kept, {filled.sum() - block.sum()} px filled")
for warning in said:
    print("   warned:", str(warning.message)[-130:])
    assert "only removed smaller ones" in str(warning.message), "the behaviour has changed"
stated = {"0.25.2": (9, 1), "0.26.0": (5, 3)}[skimage.__version__]
assert (kept.sum(), filled.sum() - block.sum()) == stated, "the behaviour has changed"
PY
for version in 0.25.2 0.26.0; do
  "$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" "scikit-image==$version" numpy==2.4.6 scipy==1.17.1
  "$work/venv/bin/python" "$work/clean.py"
done
