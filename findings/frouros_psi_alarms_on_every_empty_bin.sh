#!/usr/bin/env bash
# frouros 0.9.0: PSI replaces the share of an empty bin by the smallest float, 2e-308, where others use about 0.0001. One bin
# that the window happens to leave empty then adds about 0.7 for each 0.1 % of the reference in it: log(0.001 / 2e-308) is 702.
# So small windows of an unchanged distribution are far above 0.2, the usual threshold for a big change.
# Expected: PSI of two samples of one distribution is near (bins - 1) (1/n + 1/m): 0.05 for 200 and 5,000 values.
# Seen: median 3.1 for windows of 200, of which 91 % are above 0.2; 26 % of 1,000; by a floor of 0.0001: 0.05, 1 % and none.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" frouros==0.9.0 numpy==2.1.3 scipy==1.14.1
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from frouros.detectors.data_drift import PSI

generator = np.random.default_rng(0)
reference = generator.normal(size=5000)
detector = PSI()
detector.fit(X=reference)


def psi_with_floor(window, floor=1e-4):
    """The same ten bins of equal width, with the usual floor of a share."""
    edges = np.histogram_bin_edges(np.concatenate([reference, window]), 10)
    one, other = (np.clip(np.histogram(values, edges)[0] / len(values), floor, None) for values in (reference, window))
    return float(((other - one) * np.log(other / one)).sum())


above = {}
for size in (200, 1000):
    windows = [generator.normal(size=size) for _ in range(100)]
    frouros = np.array([detector.compare(X=window)[0].distance for window in windows])
    usual = np.array([psi_with_floor(window) for window in windows])
    above[size] = (frouros > 0.2).mean(), (usual > 0.2).mean()
    print(f"{size} unchanged values: frouros median {np.median(frouros):.3f}, above 0.2: {above[size][0]:.0%};", end=" ")
    print(f"with a floor of 0.0001: median {np.median(usual):.3f}, above 0.2: {above[size][1]:.0%}")
assert above[200][0] > 0.8 and above[1000][0] > 0.15, "the behaviour has changed"
assert above[200][1] < 0.05 and above[1000][1] == 0, "the behaviour has changed"
PY
