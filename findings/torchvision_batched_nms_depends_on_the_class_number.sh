#!/usr/bin/env bash
# torchvision 0.29.2 with torch 2.15.0: `batched_nms` moves each class's boxes apart by class number times the largest
# coordinate, in the boxes' own float32.
# Expected: the same boxes and scores, all of one class, keep the same survivors whatever the class is called.
# Seen: of 800 boxes of 8 px they differ by 9 as class 90 in a scene of 100,000 px, by 48 as class 1,000 at 20,000 px,
# where the moved coordinates have steps of 1 to 8 px; `nms` alone keeps the same in float32 and float64.
# In float64 boxes all agree.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" torch==2.15.0 torchvision==0.29.2 numpy
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
import torchvision
from torchvision.ops import batched_nms, nms

torch.set_num_threads(1)
print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, 800 boxes of one class, IoU 0.5")


def differing(side_px, number, dtype=torch.float32):
    """How many survivors differ between class 0 and another class; nms in float32 and float64 agrees throughout."""
    draw = torch.Generator().manual_seed(0)
    corner = torch.rand(400, 2, generator=draw) * side_px
    once = torch.cat([corner, corner + 8 * (0.8 + 0.4 * torch.rand(400, 2, generator=draw))], 1)
    boxes = torch.cat([once, once + torch.randn(400, 4, generator=draw)]).to(dtype)
    scores = torch.rand(800, generator=draw).to(dtype)
    assert nms(boxes, scores, 0.5).tolist() == nms(boxes.double(), scores.double(), 0.5).tolist()
    kept = [{*batched_nms(boxes, scores, torch.full((800,), one), 0.5).tolist()} for one in (0, number)]
    return len(kept[0] ^ kept[1])


found = {(side, number): differing(side, number) for side in (1333, 20_000, 100_000) for number in (1, 90, 1000)}
for (side, number), count in found.items():
    print(f"scene of {side} px, class {number} beside class 0: {count} survivors differ")
exact = differing(100_000, 1000, torch.float64)
print("float64 boxes, 100000 px, class 1000:", exact)
assert found[1333, 1] == 0 and found[100_000, 90] > 5 and found[20_000, 1000] > 20 and exact == 0
PY
