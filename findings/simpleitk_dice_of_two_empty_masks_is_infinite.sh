#!/usr/bin/env bash
# SimpleITK 2.5.7: LabelOverlapMeasuresImageFilter compares a mask with its truth; nobody is ill, and nothing was found.
# Expected: Dice and Jaccard of two empty masks are 1, or NaN, which a mean can leave out.
# Seen: Dice is infinite, Jaccard 1.8e308, the largest float: the mean over patients is infinite or 1e305, and `nanmean`
# leaves neither out. No warning, no error.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import math
import sys

import numpy as np
import SimpleITK as sitk

empty = np.zeros((20, 20), np.uint8)
one = empty.copy()
one[2:8, 2:8] = 1
print("SimpleITK", sitk.Version.VersionString())
dice = {}
for name, truth, found in (("right", one, one), ("missed", one, empty), ("both empty", empty, empty)):
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk.GetImageFromArray(truth), sitk.GetImageFromArray(found))
    dice[name] = overlap.GetDiceCoefficient()
    print(f"{name}: Dice {dice[name]:g}, Jaccard {overlap.GetJaccardCoefficient():g}")
assert dice["right"] == 1 and dice["missed"] == 0 and math.isinf(dice["both empty"])
assert overlap.GetJaccardCoefficient() == sys.float_info.max
PY
