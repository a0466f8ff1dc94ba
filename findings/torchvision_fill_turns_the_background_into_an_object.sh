#!/usr/bin/env bash
# torchvision 0.29.2 (transforms.v2): `fill=127` for grey behind a picture that is zoomed out, padded, turned or warped.
# Expected: masks beside it get 0 there; the grey is a colour, and masks have none.
# Seen: masks are filled with 127 too: all that was added belongs to every object. A disc of 317 px becomes 40 times larger,
# while its box stays right. `fill={tv_tensors.Image: 127, "others": 0}` is what was meant.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" torch==2.15.0 torchvision==0.29.2 numpy
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
import torchvision
from torchvision import tv_tensors
from torchvision.transforms import v2

y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
disc = (((y - 32) ** 2 + (x - 32) ** 2) <= 100).to(torch.uint8)[None]
print(f"torchvision {torchvision.__version__}: the object has {int(disc.sum())} px")
meant = {tv_tensors.Image: 127, "others": 0}
grown = {}
for name, make in {
    "RandomZoomOut": lambda fill: v2.RandomZoomOut(fill=fill, side_range=(2.0, 2.0), p=1.0),
    "Pad": lambda fill: v2.Pad(32, fill=fill),
    "RandomRotation": lambda fill: v2.RandomRotation((45, 45), fill=fill),
}.items():
    torch.manual_seed(0)
    sample = {
        "image": tv_tensors.Image(torch.zeros(3, 64, 64, dtype=torch.uint8)),
        "mask": tv_tensors.Mask(disc),
        "box": tv_tensors.BoundingBoxes([[22.0, 22, 43, 43]], format="XYXY", canvas_size=(64, 64)),
    }
    plain, right = make(127)(sample)["mask"], make(meant)(sample)["mask"]
    grown[name] = int((plain > 0).sum())
    print(f"{name}(fill=127): {grown[name]} px, values {plain.unique().tolist()}; as meant: {int((right > 0).sum())} px")
    assert int((right > 0).sum()) < 400
assert min(grown.values()) > 900
PY
