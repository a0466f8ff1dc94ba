"""Does the budget of false alarms hold on dependent pictures? Windows and detector together.

``python -m benchmarks.drift.sequences FOLDER --cache FILE.npz``. Each run is a stream of dependent pictures
that nothing changes in, looked at after every 50 samples with the settings' defaults, as in production. Runs
are as long as the pictures that there are allow, which is much less than a quarter, so that a bound follows
for the run, and the share of runs with an alarm is held against it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from benchmarks.drift.__main__ import interval
from benchmarks.drift.pictures import find_pictures, measure_scenes
from benchmarks.drift.streams import Line, draw_window
from benchmarks.provenance import describe_run
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline
from monitoring.drift.references import POOLED
from monitoring.drift.sources import judge_window
from monitoring.samples.windows import Window
from monitoring.sequential.confirmation import Watched, confirm
from monitoring.sequential.detector import Detector, watch
from monitoring.sequential.evidence import CREDIT, QUARTER
from monitoring.sequential.scoring import fit_scorer

STREAMS: Final = (
    Line("independent", 300),
    Line("parts", 60, 8),
    Line("walk", 60, 8),
    Line("walk", 1, 50),
    Line("walk", 6, 50),
    Line("frames", 60, 5),
    Line("shuffled", 60, 5),
    Line("changed", 100),
)
EVERY: Final = timedelta(minutes=5)
"""Between two samples; a run of 300 takes a day."""
LOOK: Final = 50


def main() -> None:
    """Print one line of JSON for each kind of stream."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift.sequences", description=__doc__)
    parser.add_argument("folder", type=Path, help="its pictures, each a scene of its own")
    parser.add_argument("--cache", type=Path, required=True, help="measurements, kept from run to run")
    parser.add_argument("--runs", type=int, default=100, help="for each kind")
    wanted = parser.parse_args()
    scenes = measure_scenes(find_pictures(wanted.folder), wanted.cache)
    settings = MonitoringSettings()
    print(json.dumps(describe_run() | {"pictures": str(len(scenes.values))}), flush=True)
    for line in STREAMS:
        found: Counter[str] = Counter()
        num_samples = line.num_runs * line.run_length
        for seed in range(wanted.runs):
            found.update(_run(*draw_window(line, scenes, seed=seed), settings, seed))
        days = EVERY * num_samples
        bound = (days / QUARTER + CREDIT) * settings.max_false_alarms_per_quarter / 2.0
        figures = {"stream": str(line), "runs": wanted.runs, "alarmed": found}
        figures |= {"stated at most, %": round(100 * bound, 2)}
        figures |= {f"{name}, 95 %": interval(found[name], wanted.runs) for name in ("detector", "both")}
        print(json.dumps(figures), flush=True)


def _run(baseline: Baseline, window: Window, settings: MonitoringSettings, seed: int) -> set[str]:
    """Return who raised an alarm at any look: a window, the detector, or both together."""
    start = min(one.received_at for one in window.samples)
    arrived = [
        replace(one, received_at=start + EVERY * number)
        for number, one in enumerate(reversed(window.samples))
    ]
    references, scorers = {POOLED: baseline}, {POOLED: fit_scorer(baseline)}
    detector, alarmed = Detector("w", baseline.digest), set[str]()
    for end in range(LOOK, len(arrived) + 1, LOOK):
        newest = tuple(reversed(arrived[max(0, end - settings.window_samples) : end]))
        detector = watch(
            detector,
            newest,
            references,
            scorers,
            max_per_quarter=settings.max_false_alarms_per_quarter,
            min_samples=settings.min_window_samples,
            now=newest[0].received_at,
        )
        judged = Window(window.weights_digest, newest)
        verdict = judge_window(references, judged, settings, seed=seed)
        watched = Watched(settings.max_false_alarms_per_quarter, detector)
        if verdict.deciding.verdict.outcome == "drift":
            alarmed.add("window")
        if detector.alarms:
            alarmed.add("detector")
        if confirm(verdict, judged, watched).deciding.verdict.outcome == "drift":
            alarmed.add("both")
    return alarmed


if __name__ == "__main__":
    main()
