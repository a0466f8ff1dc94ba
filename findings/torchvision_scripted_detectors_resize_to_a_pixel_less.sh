#!/usr/bin/env bash
# torchvision 0.29.2 with torch 2.15.0: the transform of Faster and Mask R-CNN (min_size 800, max_size 1333), as Python and as
# `torch.jit.script` of the same object, the usual way of serving it from C++.
# Expected: both resize a picture to the same size.
# Seen: they differ for 43 % of random sizes, COCO's 427 x 640 and 500 x 375 among them, by a pixel, mostly one less in
# TorchScript: Python works the scale out in float64, TorchScript in float32, and the size is rounded down. Anchors, features and masks of the served model then lie otherwise
# than those of the model that was evaluated.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" torch==2.15.0 torchvision==0.29.2 numpy
"$work/venv/bin/python" -W ignore - <<'PY'
import random

import torch
import torchvision
from torchvision.models.detection.transform import GeneralizedRCNNTransform

torch.set_num_threads(1)
as_python = GeneralizedRCNNTransform(800, 1333, [0.0] * 3, [1.0] * 3)
as_script = torch.jit.script(as_python)


def sizes(height, width):
    picture = [torch.zeros(3, height, width)]
    return as_python(picture)[0].image_sizes[0], as_script(picture)[0].image_sizes[0]


print(f"torch {torch.__version__}, torchvision {torchvision.__version__}; height x width: Python, TorchScript")
for known in ((480, 640), (427, 640), (500, 375), (768, 1024), (848, 921)):
    print(f"{known[0]} x {known[1]}:", *sizes(*known))
draw = random.Random(0)
pairs = [sizes(draw.randint(60, 1400), draw.randint(60, 1400)) for _ in range(200)]
other = [(ours, script) for ours, script in pairs if ours != script]
print(f"{len(other)} of {len(pairs)} random sizes differ")
assert len(other) > 40
steps = [a - b for ours, script in other for a, b in zip(ours, script) if a != b]
print(f"sides that differ: {steps.count(1)} are a pixel less in TorchScript, {steps.count(-1)} a pixel more")
assert {*steps} <= {1, -1} and steps.count(1) > steps.count(-1)
PY
