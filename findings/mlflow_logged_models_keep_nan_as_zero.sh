#!/usr/bin/env bash
# MLflow 3.17.2 (SQL store): a metric that is NaN stays NaN in the run, and becomes 0.0 in the logged model of the same call. So
# among logged models, which MLflow 3 puts in the place of runs, a training that diverged has a loss of 0.0: it is first when
# they are sorted by loss, and it passes every filter such as `metrics.loss < 0.5`. Runs are sorted and filtered rightly.
# Expected: NaN in both, or an error.
# Seen: run nan, logged model 0.0; the best of three models by loss is the one that diverged.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" mlflow==3.17.2 sqlalchemy==2.0.54
cd "$work"; DO_NOT_TRACK=1 "$work/venv/bin/python" -W ignore - 2> said <<'PY' || { cat said; exit 1; }
import math

import mlflow
from mlflow import MlflowClient

mlflow.set_tracking_uri("sqlite:///mlflow.db")
client = MlflowClient()
experiment = client.create_experiment("trainings")
runs, models = {}, {}
for name, loss in {"converged": 0.31, "mediocre": 0.62, "diverged": math.nan}.items():
    run = client.create_run(experiment)
    model = client.create_logged_model(experiment, name, source_run_id=run.info.run_id)
    client.log_metric(run.info.run_id, "loss", loss, model_id=model.model_id)
    runs[name] = client.get_run(run.info.run_id).data.metrics["loss"]
    models[name] = client.get_logged_model(model.model_id).metrics[0].value
print("runs:  ", runs)
print("models:", models)
by_loss = [{"field_name": "metrics.loss", "ascending": True}]
found = client.search_logged_models([experiment], order_by=by_loss)
good = client.search_logged_models([experiment], filter_string="metrics.loss < 0.5")
first_run = client.search_runs([experiment], order_by=["metrics.loss ASC"])[0].data.metrics["loss"]
good_runs = client.search_runs([experiment], "metrics.loss < 0.5")
print("models by loss:", [model.name for model in found], "below 0.5:", sorted(model.name for model in good))
print("first of the runs by loss:", first_run, "runs below 0.5:", len(good_runs))
assert math.isnan(runs["diverged"]) and first_run == 0.31 and len(good_runs) == 1, "the behaviour has changed"
assert models["diverged"] == 0.0 and found[0].name == "diverged", "the behaviour has changed"
assert {model.name for model in good} == {"converged", "diverged"}, "the behaviour has changed"
PY
