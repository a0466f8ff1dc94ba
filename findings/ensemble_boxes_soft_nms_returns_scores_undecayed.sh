#!/usr/bin/env bash
# ensemble-boxes 1.0.9: `soft_nms` over two models that found the same object.
# Expected: the second box's score is lowered by its overlap with the first; that is all that Soft-NMS does.
# Seen: boxes come in the order of the lowered scores, but with the scores they came with: each duplicate keeps its 0.8,
# linear and Gaussian alike. Whoever sorts or thresholds by score afterwards has had no suppression at all.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ensemble-boxes==1.0.9
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version
from math import exp

from ensemble_boxes import soft_nms

first, second, alone = [0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.4, 0.24], [0.6, 0.6, 0.9, 0.9]  # IoU of the first two: 0.6
boxes, scores, labels = [[first, alone], [second]], [[0.9, 0.7], [0.8]], [[0, 0], [0]]
print(f"ensemble-boxes {version('ensemble-boxes')}: one object found twice, with 0.9 and 0.8, another with 0.7")
for name, method, lowered in (("linear", 1, 0.8 * (1 - 0.6)), ("gaussian", 2, 0.8 * exp(-(0.6**2) / 0.5))):
    _, told, _ = soft_nms(boxes, scores, labels, method=method, iou_thr=0.5, sigma=0.5)
    returned = [round(float(score), 2) for score in told]
    print(f"{name}: the duplicate's score should be {lowered:.2f}; returned {returned}")
    assert returned == [0.9, 0.7, 0.8]
PY
