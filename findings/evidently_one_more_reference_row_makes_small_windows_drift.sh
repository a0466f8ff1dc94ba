#!/usr/bin/env bash
# evidently 0.7.23: the default drift method of a numerical column is chosen by the rows of the reference alone: up to 1,000 it is
# Kolmogorov-Smirnov with p < 0.05, from 1,001 on a Wasserstein distance above 0.1 standard deviations. No sample size enters the
# latter, so a window of 50 rows, for which 0.1 is noise, is called drift nearly always. One more reference row does it.
# Expected: about as many false alarms with 1,001 rows as with 1,000; a small current window is what calls for the test.
# Seen: 30 pairs of samples of one normal distribution, 50 rows against 1,000: 2 called drift; against 1,001: 29.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" evidently==0.7.23 pandas==2.3.3 numpy==2.4.6 plotly==5.24.1 \
  scipy==1.17.1 scikit-learn==1.9.1
cd "$work"; DO_NOT_TRACK=1 "$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift

definition = DataDefinition(numerical_columns=["score"])


def table(values):
    return Dataset.from_pandas(pd.DataFrame({"score": values}), data_definition=definition)


called = {}
for rows in (1000, 1001):
    random = np.random.default_rng(0)
    called[rows] = 0
    for _ in range(30):
        reference, current = random.normal(size=rows), random.normal(size=50)
        metric = Report([ValueDrift(column="score")]).run(table(current), table(reference)).dict()["metrics"][0]
        method, threshold, value = metric["config"]["method"], metric["config"]["threshold"], float(metric["value"])
        called[rows] += value < threshold if "p_value" in method else value >= threshold
    print(f"{rows} reference rows: {method}, threshold {threshold}: {called[rows]} of 30 windows called drift")
assert called[1000] <= 6 and called[1001] >= 20, "the behaviour has changed"
PY
