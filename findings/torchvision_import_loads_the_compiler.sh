#!/usr/bin/env bash
# torchvision 0.29.2 with torch 2.15.0: `import torchvision` imports the whole of torch._dynamo and sympy, for one function
# that asks whether compiling is supported. A process that never compiles anything pays for it at every start.
# Expected: importing torchvision costs little more than importing torch, which leaves the compiler out.
# Seen: after `import torch` neither torch._dynamo nor torch._inductor is loaded; after `import torchvision` both are, with
# about 1,000 modules more, and the import takes twice the CPU seconds.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" torch==2.15.0 torchvision==0.29.2 numpy
"$work/venv/bin/python" -c "import torch, torchvision" # compiles the bytecode once
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
import time

begun = time.process_time()
import torch  # noqa: E402, F401

torch_s, before = time.process_time() - begun, set(sys.modules)
begun = time.process_time()
import torchvision  # noqa: E402

more_s, added = time.process_time() - begun, set(sys.modules) - before
names = ("torch._dynamo", "torch._inductor", "sympy")
print(f"torch {torch.__version__}, torchvision {torchvision.__version__}")
print(f"import torch: {torch_s:.1f} CPU s, {len(before)} modules, of them", [n for n in names if n in before] or "no compiler")
print(f"import torchvision: {more_s:.1f} CPU s more, {len(added)} modules more, of them", [n for n in names if n in added])
assert not {"torch._dynamo", "torch._inductor"} & before and {"torch._dynamo", "torch._inductor"} <= added
PY
