#!/usr/bin/env bash
# ray[tune] 2.60.0: ASHA stops a trial whose metric is below the cut-off of its rung. NaN is below nothing, so a trial whose loss
# became NaN passes every rung and trains to the end, while better ones beside it are stopped: where learning rates are searched,
# the hours meant for the best trials go to the diverged ones. Optuna's pruner of the same method ends such a trial at once.
# Expected: NaN is the worst result, or ends the trial.
# Seen: of nine trials the one with NaN runs all 9 steps, as does the best; those with a loss of 0.4 to 1.0 stop after the first.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" "ray[tune]==2.60.0" optuna==5.0.0 numpy==2.4.6
cd "$work"; RAY_USAGE_STATS_ENABLED=0 RAY_AIR_NEW_OUTPUT=0 "$work/venv/bin/python" -W ignore - 2> said <<'PY' || { cat said; exit 1; }
import math
import os

import optuna
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

LOSSES = [0.1, math.nan, *(0.3 + step / 10 for step in range(1, 8))]


def train(config):
    for _ in range(9):
        tune.report({"loss": config["loss"]})


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
scheduler = ASHAScheduler(max_t=9, grace_period=1, reduction_factor=3)
setting = tune.TuneConfig(metric="loss", mode="min", scheduler=scheduler, max_concurrent_trials=1)
run = tune.RunConfig(storage_path=os.getcwd(), verbose=0)
results = tune.Tuner(
    train, param_space={"loss": tune.grid_search(LOSSES)}, tune_config=setting, run_config=run
).fit()
steps = {result.config["loss"]: result.metrics["training_iteration"] for result in results}
ray.shutdown()
print("Ray:   ", {f"{loss:.1f}": count for loss, count in steps.items()})

optuna.logging.set_verbosity(optuna.logging.ERROR)
pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
study = optuna.create_study(pruner=pruner)
pruned = {}
for loss in LOSSES:
    trial = study.ask()
    for step in range(1, 10):
        trial.report(loss, step)
        pruned[f"{loss:.1f}"] = step
        if trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            break
    else:
        study.tell(trial, loss)
print("Optuna:", pruned)
diverged = next(count for loss, count in steps.items() if math.isnan(loss))
assert diverged == 9 and steps[0.1] == 9, "the behaviour has changed"
assert all(count < 9 for loss, count in steps.items() if loss > 0.1), "the behaviour has changed"
assert pruned["nan"] == 1, "the behaviour has changed"
PY
