#!/usr/bin/env bash
# pillow-heif 1.8.1: `quality=-1`, which its documentation calls lossless.
# Expected: the pixels come back as they were, or a mode that cannot be kept is refused.
# Seen: 8-bit greys do. Colours are still subsampled to 4:2:0: errors of up to 216 of 255 on noise, 152 at the edge of red
# and blue; chroma=444 with matrix_coefficients=0 keeps them. 16-bit greys keep their highest 10 bits: 4,081 values become
# 64, and the array is still uint16.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow-heif==1.8.1 pillow==13.0.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import io

import numpy as np
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()


def and_back(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "HEIF", quality=-1, **options)
    return np.asarray(Image.open(file))


def error(pixels, **options):
    return int(np.abs(and_back(pixels, **options).astype(int) - pixels).max())


noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
edge = np.zeros((64, 64, 3), np.uint8)
edge[:, :31, 0], edge[:, 31:, 2] = 255, 255
deep = np.linspace(0, 4080, 64 * 64).reshape(64, 64).astype(np.uint16)
print(f"pillow-heif {pillow_heif.__version__}, quality=-1: the largest error")
print("8-bit greys", error(noise[..., 0]), "| noise in colour", error(noise), "| red beside blue", error(edge))
exact = {"chroma": 444, "matrix_coefficients": 0}
print("colours with", exact, error(noise, **exact))
back = and_back(deep)
print(f"16-bit greys: {len(np.unique(deep))} values become {len(np.unique(back))}, {back.dtype}")
assert error(noise[..., 0]) == 0 and error(noise) > 100 and error(edge) > 20 and error(noise, **exact) == 0
assert back.dtype == np.uint16 and len(np.unique(back)) == 64
PY
