#!/usr/bin/env bash
# torch 2.15.0 (oneDNN) on x86: the first layer of Mask R-CNN's box head, 1,000 regions of 7 x 7 x 256 to 1,024 features, is
# the same numbers as `linear` over the flattened region or as `conv2d` with a kernel of the region's size.
# Expected: one of them is somewhat faster, on every CPU the same one.
# Seen: with AVX-512 the convolution takes 0.4 of the product's time; with AVX2 5 times as much: code tuned on a server is
# five times slower on most laptops.
# Needs a CPU with AVX-512 to see both sides (AVX2 is chosen by environment variables); else the AVX2 side alone.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" torch==2.15.0 numpy
cat > "$work/time.py" <<'PY'
import time

import torch
import torch.nn.functional as F  # noqa: N812

torch.set_num_threads(1)
regions = torch.randn(1000, 256, 7, 7).contiguous(memory_format=torch.channels_last)
weight = torch.randn(1024, 256 * 49) / 100
kernel = weight.view(1024, 256, 7, 7).contiguous(memory_format=torch.channels_last)


def least_s(run):
    times = []
    for _ in range(5):
        begun = time.process_time()
        run()
        times.append(time.process_time() - begun)
    return min(times)


with torch.inference_mode():
    product, convolution = F.linear(regions.flatten(1), weight), F.conv2d(regions, kernel).flatten(1)
    assert torch.allclose(product, convolution, atol=1e-2)
    product_s = least_s(lambda: F.linear(regions.flatten(1), weight))
    convolution_s = least_s(lambda: F.conv2d(regions, kernel))
name, ratio = torch.backends.cpu.get_cpu_capability(), convolution_s / product_s
print(f"torch {torch.__version__}, {name}: linear {product_s:.3f} CPU s, conv2d {convolution_s:.3f}, {ratio:.2f} times")
assert ratio > 2 if name == "AVX2" else ratio < 0.8 if name.startswith("AVX512") else True
PY
"$work/venv/bin/python" "$work/time.py"
ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 "$work/venv/bin/python" "$work/time.py"
