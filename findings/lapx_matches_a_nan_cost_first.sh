#!/usr/bin/env bash
# lapx 0.11.1, the assignment that trackers use: one cost of NaN, such as the IoU of a degenerate box gives.
# Expected: NaN is refused, as scipy's `linear_sum_assignment` does, or never matched: it is not below `cost_limit`.
# Seen: NaN is matched first, whatever `cost_limit` says; the right pair (cost 0.1) is broken for it, and the other
# track, whose own cost is 0.2, is left without a match. The total is NaN, the indices look as always.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check lapx==0.11.1 scipy==1.17.1
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import lap
import numpy as np
from scipy.optimize import linear_sum_assignment

good, bad = np.array([[0.1, 0.9], [0.9, 0.2]]), np.array([[0.1, np.nan], [0.9, 0.2]])
print(f"lapx {version('lapx')}, cost_limit 0.5; which detection each track gets (-1: none)")
for name, costs in (("costs 0.1 0.9 / 0.9 0.2", good), ("costs 0.1 NaN / 0.9 0.2", bad)):
    total, of_track, _ = lap.lapjv(costs, extend_cost=True, cost_limit=0.5)
    print(f"{name}: {of_track.tolist()}, total {total:.2f}")
assert lap.lapjv(good, extend_cost=True, cost_limit=0.5)[1].tolist() == [0, 1]
assert lap.lapjv(bad, extend_cost=True, cost_limit=0.5)[1].tolist() == [1, -1]
try:
    linear_sum_assignment(bad)
    raise SystemExit("scipy takes NaN now")
except ValueError as error:
    print("scipy:", error)
PY
