#!/usr/bin/env bash
# evidently 0.7.23: DataDriftPreset leaves a column that the current data no longer have out of the report, and out of the share of
# drifted columns, and calls a column of which nine values in ten went missing unchanged. A feature that stopped arriving shows
# nowhere; a wholly empty column, on the other hand, raises ValueError.
# Expected: a vanished or emptied column counts as drift, or is named.
# Seen: three columns, one drifts, one vanishes: 1 drifted, share 0.5, the vanished one nowhere; nine in ten NaN: no drift.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" evidently==0.7.23 pandas==2.3.3 numpy==2.4.6 plotly==5.24.1 \
  scipy==1.17.1 scikit-learn==1.9.1
cd "$work"; DO_NOT_TRACK=1 "$work/venv/bin/python" -W ignore - <<'PY'
import json

import numpy as np
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset

random = np.random.default_rng(0)
reference = pd.DataFrame(random.normal(size=(900, 3)), columns=["brightness", "contrast", "speed"])
current = pd.DataFrame(random.normal(size=(900, 3)), columns=["brightness", "contrast", "speed"])
current["brightness"] += 3


def said(table):
    """The whole report as text, and the number and share of drifted columns."""
    report = Report([DataDriftPreset()]).run(table, reference).dict()
    return json.dumps(report, default=str), report["metrics"][0]["value"]


_, whole = said(current)
text, without = said(current.drop(columns="speed"))
sparse = current.copy()
sparse.loc[90:, "speed"] = np.nan
_, thinned = said(sparse)
print("all there:", whole, "\nspeed gone:", without, "named:", "speed" in text, "\nspeed 90 % NaN:", thinned)
assert whole["count"] == without["count"] == thinned["count"] == 1, "the behaviour has changed"
assert round(whole["share"], 3) == round(thinned["share"], 3) == 0.333, "the behaviour has changed"
assert without["share"] == 0.5 and "speed" not in text, "the behaviour has changed"
PY
