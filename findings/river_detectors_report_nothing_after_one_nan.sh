#!/usr/bin/env bash
# river 0.26.1: one NaN in the stream switches ADWIN and PageHinkley off for good. ADWIN's estimate and variance are NaN from then
# on although its window could drop the value, PageHinkley's sum stays NaN, and neither ever reports a drift again. Nothing is
# raised or warned; only KSWIN goes on. An empty picture's mean score is such a NaN.
# Expected: a refused value, or one that leaves the window with time.
# Seen: a jump from 0 to 5 standard deviations is found by all three; with one NaN 500 values before it, by KSWIN alone, and
# ADWIN's estimate is still NaN 1500 values later.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" river==0.26.1 numpy==2.4.6
"$work/venv/bin/python" -W error - <<'PY'
import math

import numpy as np
from river import drift

random = np.random.default_rng(0)
clean = np.r_[random.normal(0, 1, 1000), random.normal(5, 1, 1000)]
spoilt = clean.copy()
spoilt[500] = np.nan


def found(detector, values):
    """Whether a drift is reported at the jump or after it."""
    hits = []
    for number, value in enumerate(values):
        detector.update(float(value))
        if detector.drift_detected and number >= 1000:
            hits.append(number)
    return bool(hits)


for make, stated in ((drift.ADWIN, False), (drift.PageHinkley, False), (lambda: drift.KSWIN(seed=1), True)):
    detector = make()
    seen = found(make(), clean), found(detector, spoilt)
    print(f"{type(detector).__name__}: found in the clean stream {seen[0]}, with one NaN {seen[1]}")
    assert seen == (True, stated), "the behaviour has changed"
    if isinstance(detector, drift.ADWIN):
        print(f"   its window holds {detector.width:.0f} values, estimate {detector.estimation}")
        assert math.isnan(detector.estimation), "the behaviour has changed"
PY
