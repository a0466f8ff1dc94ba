#!/usr/bin/env bash
# torchvision 0.29.2: ToTensor and to_tensor give a 16-bit grey picture as int16, unscaled, so every grey above 32,767 becomes
# negative. The 8-bit picture of the same scene comes as float32 from 0 to 1. The v2 functions keep uint16 and scale rightly.
# Expected: float32 from 0 to 1 as for 8 bits, or at least the values stored.
# Seen: a picture of 0, 32,767, 32,768 and 65,535: int16 0, 32767, -32768, -1; v2: float32 0, 0.5, 0.5, 1.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" torch==2.15.0 torchvision==0.29.2 pillow==13.0.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import io

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import ToTensor
from torchvision.transforms.v2 import functional


def stored(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return Image.open(file)


deep = stored(np.array([[0, 32_767, 32_768, 65_535]], np.uint16))
shallow = stored(np.array([[0, 127, 128, 255]], np.uint8))
old, new = ToTensor()(deep), functional.to_dtype(functional.to_image(deep), torch.float32, scale=True)
print(f"{deep.mode}: ToTensor {old.dtype} {old.flatten().tolist()}, v2 {new.dtype} {new.flatten().tolist()}")
print(f"{shallow.mode}: ToTensor {ToTensor()(shallow).dtype} {ToTensor()(shallow).flatten().tolist()}")
assert old.dtype == torch.int16 and old.flatten().tolist() == [0, 32_767, -32_768, -1], "the behaviour has changed"
assert new.dtype == ToTensor()(shallow).dtype == torch.float32, "the behaviour has changed"
assert new.min() == 0 and new.max() == 1, "the behaviour has changed"
PY
