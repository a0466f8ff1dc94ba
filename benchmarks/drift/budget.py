"""The stated budget of false alarms beside the measured one, and delays of changes, on real pictures."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.drift.pictures import cut_parts, draw_network, find_pictures, observe_view
from maskloop.settings.workspace_settings import RetrainingSettings
from monitoring.drift.baseline import build_baseline
from monitoring.features.observation import Observation
from monitoring.sequential.findings import Delay, Simulation, as_days, measure_delay, quarter_days
from monitoring.sequential.policy import run_quarters
from monitoring.sequential.scoring import Scorer, fit_scorer
from monitoring.sequential.shifts import NEW_CAMERA_SHARE, PICTURE_SHIFTS
from monitoring.sequential.simulation import make_groups, simulate_runs

SCENES_PER_DAY = 100.0
WARM_SCENES, HORIZON_SCENES = 200, 1000


def main() -> None:
    """Print one line of JSON: the simulation of a reference of one part of each picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift.budget", description=__doc__)
    parser.add_argument("folder", type=Path, help="its pictures, each a scene of its own")
    parser.add_argument("--pictures", type=int, default=100, help="of the reference")
    parser.add_argument("--quarters", type=int, default=1000)
    parser.add_argument("--per-quarter", type=float, default=1.0, help="the budget")
    wanted = parser.parse_args()
    files = find_pictures(wanted.folder)
    chosen = np.random.default_rng(0).permutation(len(files))[: wanted.pictures].tolist()
    parts = [cut_parts(np.asarray(Image.open(files[one]).convert("RGB")))[0] for one in chosen]
    network, rng = draw_network(), np.random.default_rng(0)
    usual = [observe_view(part, network) for part in parts]
    changed = {
        shift.name: [observe_view(shift.change(part, rng), network) for part in parts]
        for shift in PICTURE_SHIFTS
    }
    scorer = fit_scorer(build_baseline(usual, weights_digest="w", data_fingerprint="f"))
    if not scorer.columns:
        raise SystemExit(
            f"{len(usual)} pictures are too few to watch anything: take more, --pictures says how many"
        )
    began = time.process_time()
    alarms = simulate_runs(
        make_groups(scorer, usual, usual),
        num_runs=wanted.quarters + wanted.quarters // 5,
        num_scenes=round(SCENES_PER_DAY * quarter_days()),
        changes_at=0,
        changed_share=0.0,
        scenes_per_day=SCENES_PER_DAY,
        max_per_quarter=wanted.per_quarter,
        seed=0,
    )
    cpu_s = time.process_time() - began
    delays = measure_delays(scorer, usual, changed, wanted.per_quarter)
    days = as_days(alarms, SCENES_PER_DAY)
    quarters = run_quarters(
        days,
        RetrainingSettings(),
        num_quarters=wanted.quarters,
        quarter_days=quarter_days(),
        training_hours=1.0,
    )
    result = Simulation(
        max_per_quarter=wanted.per_quarter,
        num_pictures=len(usual),
        num_numbers=len(scorer.columns),
        scenes_per_day=SCENES_PER_DAY,
        measured_scenes_per_day=None,
        quarters=tuple(quarters),
        alarm_days=days,
        delays=tuple(delays),
        training_hours=1.0,
        horizon_scenes=HORIZON_SCENES,
    )
    print(json.dumps(result.to_json() | {"cpu_s_of_quarters": cpu_s}), flush=True)


def measure_delays(
    scorer: Scorer,
    usual: Sequence[Observation],
    changed: Mapping[str, Sequence[Observation]],
    per_quarter: float,
) -> list[Delay]:
    """Return how long each change goes on until it is seen, and the new camera in a fifth of the scenes."""
    last = PICTURE_SHIFTS[-1].name
    cases = [(name, seen, 1.0) for name, seen in changed.items()]
    cases.append((f"{last}, a fifth", changed[last], NEW_CAMERA_SHARE))
    delays = []
    for name, seen, share in cases:
        found = simulate_runs(
            make_groups(scorer, usual, seen),
            num_runs=100,
            num_scenes=WARM_SCENES + HORIZON_SCENES,
            changes_at=WARM_SCENES,
            changed_share=share,
            scenes_per_day=SCENES_PER_DAY,
            max_per_quarter=per_quarter,
            seed=0,
        )
        delays.append(measure_delay(name, found, changes_at=WARM_SCENES, scenes_per_day=SCENES_PER_DAY))
    return delays


if __name__ == "__main__":
    main()
