#!/usr/bin/env bash
# torchvision 0.29.2: SanitizeBoundingBoxes drops boxes, masks and `labels` of objects that left the picture, and leaves every other
# per-object entry as it is: `iscrowd` and `area` keep their old length, so from the first dropped object on they belong
# to other objects. wrap_dataset_for_transforms_v2 with target_keys="all" hands out such targets. Nothing is said.
# Expected: all entries of one length are filtered alike, or the difference is refused.
# Seen: three objects, the first outside the picture: 2 boxes, 2 masks, 2 labels, 3 iscrowd and 3 area; the small object stands
# beside the crowd flag of the dropped one.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" torch==2.15.0 torchvision==0.29.2 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

boxes = torch.tensor([[0, 0, 10, 10], [40, 40, 45, 45], [50, 50, 90, 90]])
masks = torch.zeros(3, 100, 100, dtype=torch.uint8)
for number, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
    masks[number, y0:y1, x0:x1] = 1
target = {
    "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(100, 100)), "masks": tv_tensors.Mask(masks),
    "labels": torch.tensor([1, 2, 3]), "iscrowd": torch.tensor([1, 0, 0]), "area": torch.tensor([100, 25, 1600])}
picture = tv_tensors.Image(torch.zeros(3, 100, 100, dtype=torch.uint8))
cropped = v2.functional.crop(picture, 20, 20, 80, 80), {
    name: v2.functional.crop(value, 20, 20, 80, 80) if isinstance(value, tv_tensors.TVTensor) else value
    for name, value in target.items()}
_, left = v2.SanitizeBoundingBoxes()(*cropped)
print({name: len(value) for name, value in left.items()}, "iscrowd", left["iscrowd"].tolist(), "area", left["area"].tolist())
assert [len(left[name]) for name in ("boxes", "masks", "labels")] == [2, 2, 2], "the behaviour has changed"
assert left["iscrowd"].tolist() == [1, 0, 0] and left["area"].tolist() == [100, 25, 1600], "the behaviour has changed"
PY
