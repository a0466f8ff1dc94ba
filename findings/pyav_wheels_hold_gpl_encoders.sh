#!/usr/bin/env bash
# PyAV (av) 18.1.0: its licence is BSD-3-Clause, and FFmpeg is LGPL by default. The wheel for Linux holds FFmpeg with x264 and x265,
# which are under the GPL, version 2 or later; a licence scanner that reads metadata sees BSD alone. An image that is passed on
# with this wheel has to follow the GPL. opencv-python-headless 5.0.0.93 holds no such library, and cannot write H.264.
# Expected: what the metadata says holds for what is in the wheel, or the wheel says otherwise.
# Seen: License-Expression BSD-3-Clause and one licence text, PyAV's own; av.libs has libx264 and libx265, and both encoders run.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" av==18.1.0 opencv-python-headless==5.0.0.93
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import distribution

import av

package = distribution("av")
stated = package.metadata["License-Expression"]
texts = sorted(file.name for file in package.files if "licenses" in file.parts)
gpl = sorted(file.name.partition("-")[0] for file in package.files if file.name.startswith(("libx264", "libx265")))
opencv = [file.name for file in distribution("opencv-python-headless").files if "x264" in file.name or "x265" in file.name]
encoders = [name for name in ("libx264", "libx265") if av.Codec(name, "w")]
print("stated", stated, "texts", texts, "in the wheel", gpl, "encoders", encoders, "in OpenCV's", opencv)
assert stated == "BSD-3-Clause" and gpl == ["libx264", "libx265"] == encoders, "the behaviour has changed"
assert not any("GPL" in name.upper() or "FFMPEG" in name.upper() for name in texts) and not opencv, "the behaviour has changed"
PY
