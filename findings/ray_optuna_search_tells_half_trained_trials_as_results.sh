#!/usr/bin/env bash
# ray[tune] 2.60.0 with optuna 5.0.0: `OptunaSearch` is the way to draw trials with Optuna and stop the worse ones with ASHA. A trial
# that ASHA stops after its first step is told to Optuna as COMPLETE, with the value it had there, as if it had been trained to the
# end; the value itself is in no list of intermediate ones. Settings that learn slowly and end best look bad for good; where the
# metric rises and falls again, settings that only begin well look best, and `study.best_trial` is a trial that nobody has finished.
# Optuna's own pruners tell such trials as PRUNED, which its samplers rank below trials that were finished.
# Expected: as many PRUNED as were stopped early, and a best trial that was trained to its end.
# Seen: of 12 trials 11 are stopped after one of nine steps; all 12 are COMPLETE, none is PRUNED, and the best one was stopped.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$work/venv/bin/uv" pip install --quiet --python "$work/venv/bin/python" "ray[tune]==2.60.0" optuna==5.0.0 numpy==2.4.6
cd "$work"; RAY_USAGE_STATS_ENABLED=0 RAY_AIR_NEW_OUTPUT=0 "$work/venv/bin/python" -W ignore - 2> said <<'PY' || { cat said; exit 1; }
import os
from collections import Counter

import optuna
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch


def train(config):
    """A loss that is low after one step and rises: a network that begins well and then overfits."""
    for step in range(1, 10):
        tune.report({"loss": config["x"] + 2.0 * (step > 1)})


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
first = [{"x": 0.1 * at} for at in range(1, 13)]  # each is worse than the one before, so ASHA stops most
search = OptunaSearch(metric="loss", mode="min", points_to_evaluate=first)
scheduler = ASHAScheduler(metric="loss", mode="min", max_t=9, grace_period=1, reduction_factor=3)
setting = tune.TuneConfig(search_alg=search, scheduler=scheduler, num_samples=12, max_concurrent_trials=1)
run = tune.RunConfig(storage_path=os.getcwd(), verbose=0)
results = tune.Tuner(train, param_space={"x": tune.uniform(0.0, 2.0)}, tune_config=setting, run_config=run).fit()
ray.shutdown()
steps = {round(result.config["x"], 1): result.metrics["training_iteration"] for result in results}
states = Counter(trial.state.name for trial in search._ot_study.trials)
best = round(search._ot_study.best_trial.params["x"], 1)
print("steps of each trial:", steps)
print("told to Optuna as:  ", dict(states))
print(f"Optuna's best trial: x = {best}, loss {search._ot_study.best_value:.1f}, {steps[best]} of 9 steps")
stopped = sum(count < 9 for count in steps.values())
assert stopped == 11, "the behaviour has changed"
assert states == {"COMPLETE": 12}, "the behaviour has changed"
assert steps[best] == 1, "the behaviour has changed"
PY
