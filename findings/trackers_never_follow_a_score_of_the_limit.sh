#!/usr/bin/env bash
# trackers 2.6.1: ByteTrackTracker divides detections by comparing float32 scores with a limit, and begins a track by comparing
# the same score, widened to float64, with the limit again. supervision's scores are float32, and float32(0.7) is
# 0.69999999, so at the default limit of 0.7 an object whose score is 0.7 in every frame is never followed: its tracker_id stays -1.
# Scores of 0.5 and 0.6 at those limits are followed, and so are float64 scores of 0.7.
# Expected: a score of the limit begins a track, as the documentation says ("minimum detection confidence to create new tracks").
# Seen: four frames with one unmoved box, score 0.7: tracker_id -1, -1, -1, -1 with float32, and -1, 0, 0, 0 with float64.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" \
  trackers==2.6.1 supervision==0.31.2 opencv-python-headless==5.0.0.93 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import supervision as sv
from trackers import ByteTrackTracker


def follow(dtype, score, **limits):
    tracker, told = ByteTrackTracker(minimum_consecutive_frames=1, **limits), []
    for _ in range(4):
        seen = sv.Detections(xyxy=np.array([[10.0, 10, 30, 30]]), confidence=np.array([score], dtype))
        told.append(int(tracker.update(seen).tracker_id[0]))
    return told


told = {dtype.__name__: follow(dtype, 0.7) for dtype in (np.float32, np.float64)}
at_half = follow(np.float32, 0.5, track_activation_threshold=0.5, high_conf_det_threshold=0.5)
print("default limit 0.7, score 0.7:", told, "limit 0.5, score 0.5, float32:", at_half)
assert told == {"float32": [-1, -1, -1, -1], "float64": [-1, 0, 0, 0]}, "the behaviour has changed"
assert at_half == [-1, 0, 0, 0], "the behaviour has changed"
PY
