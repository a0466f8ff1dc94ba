#!/usr/bin/env bash
# MLflow 3.17.2: the digest that tells data sets apart covers the first 10,000 elements of a NumPy array (a third of one picture
# of 100 x 100 px) and the first 10,000 rows of a table. Two data sets that differ only behind that have one digest, and since
# name and digest are the identity, the second run is shown to have used the first one's data.
# Expected: a digest of all the data, or of a sample taken from all over it.
# Seen: 200 pictures of which 199 differ: one digest; 20,000 rows of which 10,000 differ: one digest; two runs, one data set.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" mlflow==3.17.2 numpy==2.4.6 pandas==2.3.3
cd "$work"; DO_NOT_TRACK=1 "$work/venv/bin/python" -W ignore - 2> said <<'PY' || { cat said; exit 1; }
import mlflow
import numpy as np
import pandas as pd

dark = np.zeros((200, 100, 100, 3), np.uint8)
bright = dark.copy()
bright[1:] = 255
rows = pd.DataFrame({"score": np.arange(20_000.0)})
others = rows.copy()
others.loc[10_000:, "score"] = -1.0
early = rows.copy()
early.loc[9_999, "score"] = -1.0
digests = [mlflow.data.from_numpy(pictures).digest for pictures in (dark, bright)]
print("pictures:", digests, "differ:", int((dark != bright).any(axis=(1, 2, 3)).sum()), "of", len(dark))
tables = [mlflow.data.from_pandas(table).digest for table in (rows, others, early)]
print("tables:", tables)
assert digests[0] == digests[1], "the behaviour has changed"
assert tables[0] == tables[1] != tables[2], "the behaviour has changed"

mlflow.set_tracking_uri("sqlite:///runs.db")
used = []
for pictures, source in ((dark, "s3://first/dark"), (bright, "s3://second/bright")):
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_numpy(pictures, source=source, name="belt"), context="training")
    used.append(mlflow.get_run(run.info.run_id).inputs.dataset_inputs[0].dataset)
print("sources shown:", [one.source for one in used])
assert used[0].source == used[1].source, "the behaviour has changed"
PY
