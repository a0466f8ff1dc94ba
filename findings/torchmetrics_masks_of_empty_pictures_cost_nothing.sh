#!/usr/bin/env bash
# torchmetrics 1.9.0: MeanAveragePrecision("segm") leaves pictures without objects out of the evaluation, so false positives
# there cost nothing; "bbox" counts them. A model is judged milder by its masks than by its boxes, on the same pictures.
# Both backends do so. A test set of good parts, where every detection is a false alarm, adds nothing to the figure.
# Expected: pycocotools' figure, in which such detections are false positives.
# Seen: an object found with score 0.8, the same detection with score 0.9 in an empty picture: bbox 0.5, segm 1.0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" \
  torchmetrics==1.9.0 torch==2.15.0 torchvision==0.29.2 pycocotools==2.0.11 faster-coco-eval==1.8.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from torchmetrics.detection import MeanAveragePrecision

BOX = torch.tensor([[10.0, 10.0, 30.0, 30.0]])
MASK = torch.zeros(1, 50, 50, dtype=torch.bool)
MASK[0, 10:30, 10:30] = True
LABEL = torch.tensor([1])


def found(score):
    return {"boxes": BOX, "masks": MASK, "scores": torch.tensor([score]), "labels": LABEL}


truth = [{"boxes": BOX, "masks": MASK, "labels": LABEL}, {"boxes": BOX[:0], "masks": MASK[:0], "labels": LABEL[:0]}]
for backend in ("pycocotools", "faster_coco_eval"):
    seen = {}
    for kind in ("bbox", "segm"):
        metric = MeanAveragePrecision(iou_type=kind, backend=backend)
        metric.update([found(0.8), found(0.9)], truth)
        seen[kind] = round(float(metric.compute()["map"]), 3)
    print(f"{backend}: {seen}")
    assert seen == {"bbox": 0.5, "segm": 1.0}, "the behaviour has changed"
PY
