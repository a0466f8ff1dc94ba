"""Seconds to choose among many kept samples: ``python -m benchmarks.labelling.speed [SAMPLES]``.

Samples have features, scores and an embedding of 256 numbers, as the sample log returns them. Pictures are
not read and no model runs: that is done for the shortlist alone, whose size does not depend on the samples.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

import numpy as np

from benchmarks.provenance import describe_run
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import build_baseline
from monitoring.drift.verdict import judge_drift
from monitoring.features.observation import Observation
from monitoring.samples.values import Sample
from monitoring.samples.windows import Window
from monitoring.selection.candidates import Context, best_candidates, find_eligible, rate_candidates
from monitoring.selection.choice import draw_at_random, pick_best
from monitoring.selection.class_need import rate_classes

_FEATURES = ("brightness", "contrast", "saturation", "sharpness", "noise", "count", "mean_score")
_EMBEDDING = 256


def main() -> None:
    """Choose 50 of so many samples and print what each part took, in CPU seconds."""
    num = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    random = np.random.default_rng(0)
    own = [Observation(*_draw(random, 0.0)) for _ in range(2000)]
    baseline = build_baseline(own, weights_digest="w", data_fingerprint="f")
    samples = [_sample(random, number, shift=3.0 if number % 3 == 0 else 0.0) for number in range(num)]
    verdict = judge_drift(baseline, Window("w", tuple(samples[:200])), MonitoringSettings())
    needs = rate_classes({"bolt": 900, "nut": 300}, {})
    context = Context(baseline, verdict.signals, needs, 0.25)
    seconds: dict[str, float] = {}
    start = time.process_time()
    eligible = find_eligible(samples, {samples[0].picture_digest})
    drawn = draw_at_random(eligible, 10, seed=0, take=lambda _: True)
    seconds["eligible and random"] = time.process_time() - start
    start = time.process_time()
    rated = rate_candidates(eligible, context)
    seconds["rating"] = time.process_time() - start
    start = time.process_time()
    chosen = pick_best(best_candidates(rated, 200), 40, take=lambda _: True)
    seconds["shortlist and choice"] = time.process_time() - start
    figures = {name: round(value, 2) for name, value in seconds.items()}
    total = round(sum(seconds.values()), 2)
    drifted = sum(signal.drifted for signal in verdict.signals)
    print(json.dumps({"samples": num, "chosen": len(drawn) + len(chosen), "drifted signals": drifted}))
    print(json.dumps({"CPU seconds": figures, "all": total, "made": describe_run()}, indent=1))


def _draw(random: np.random.Generator, shift: float) -> tuple[dict[str, float], tuple[float, ...]]:
    values = random.normal(size=len(_FEATURES)) + shift
    return dict(zip(_FEATURES, values.tolist(), strict=True)), tuple(random.normal(size=_EMBEDDING) + shift)


def _sample(random: np.random.Generator, number: int, *, shift: float) -> Sample:
    features, embedding = _draw(random, shift)
    return Sample(
        sample_id=f"s{number}",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        model_version="1",
        weights_digest="w",
        picture_digest=f"d{number}",
        source="line 1",
        features=features,
        embedding=embedding,
        class_counts={"bolt": number % 3, "nut": number % 2},
        top_scores=tuple(sorted(random.uniform(0.05, 1.0, 5).tolist(), reverse=True)),
        picture_file=f"pictures/{number}.png",
    )


if __name__ == "__main__":
    main()
