#!/usr/bin/env bash
# stardist 0.9.2: `matching_dataset(by_image=True)` averages precision, recall, F1 and panoptic quality over pictures.
# Expected: a picture without nuclei in which none was found is right: it scores 1, or is left out of the mean.
# Seen: it scores 0 in everything. Perfect answers on two pictures, one of them empty: 0.5 throughout, by_image=False 1.0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check stardist==0.9.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
from stardist.matching import matching_dataset

empty = np.zeros((20, 20), int)
one = empty.copy()
one[2:8, 2:8] = 1
print(f"stardist {version('stardist')}: perfect answers on a picture with one nucleus and one without")
f1 = {}
for by_image in (True, False):
    told = matching_dataset([one, empty], [one, empty], 0.5, by_image=by_image, show_progress=False)
    f1[by_image] = float(told.f1)
    print(f"by_image={by_image}: precision {told.precision}, recall {told.recall}, F1 {told.f1}, PQ {told.panoptic_quality}")
assert f1 == {True: 0.5, False: 1.0}
PY
