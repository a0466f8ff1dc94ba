"""Windows of dependent pictures: in blocks, in bursts, along a walk; and how often the verdict alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import numpy as np

from benchmarks.drift.pictures import CHANGED, FRAMES, NUM_PARTS, Scenes
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.features.observation import Observation
from monitoring.samples.values import Sample
from monitoring.samples.windows import Window

NUM_REFERENCE: Final = 150
_NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
_FOLLOWS: Final = 0.97
"""Correlation of one step of a walk with the next, in each of the three leading components."""

Kind = Literal["independent", "parts", "walk", "frames", "shuffled", "still", "changed", "changed frames"]


@dataclass(frozen=True)
class Line:
    """One row of the table: ``num_runs`` runs of ``run_length`` dependent pictures each."""

    kind: Kind
    num_runs: int
    run_length: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.num_runs} x {self.run_length}"


LINES: Final = (
    *(Line("independent", num) for num in (50, 100, 200)),
    *(Line("parts", -(-50 // length), length) for length in (2, 4, 8)),
    *(Line("parts", num, length) for num, length in ((100, 2), (75, 4), (60, 8))),
    *(Line("walk", -(-50 // length), length) for length in (2, 4, 8, 50)),
    *(Line("walk", num, length) for num, length in ((60, 8), (4, 50), (16, 50))),
    *(Line("frames", num, length) for num, length in ((20, 5), (10, 5), (7, 8), (60, 5))),
    *(Line("shuffled", num, length) for num, length in ((20, 5), (60, 5))),
    Line("still", 1, 50),
    *(Line("changed", num) for num in (50, 100)),
    Line("changed frames", 60, 5),
)


def draw_window(line: Line, scenes: Scenes, *, seed: int) -> tuple[Baseline, Window]:
    """Return a reference and a window of other scenes."""
    rng = np.random.default_rng([seed, *map(ord, str(line))])
    order = rng.permutation(len(scenes.values))
    own, others = order[:NUM_REFERENCE].tolist(), order[NUM_REFERENCE:].tolist()
    first = FRAMES if line.kind in ("frames", "shuffled", "still", "changed frames") else 0
    seen = [scenes.see(scene, first + int(rng.integers(NUM_PARTS)), scene_name=str(scene)) for scene in own]
    baseline = build_baseline(seen, weights_digest="w", data_fingerprint="f")
    return baseline, window_of([scenes.see(*view) for view in _views(line, scenes, others, rng)])


def window_of(seen: Sequence[Observation], sources: Sequence[str] = ()) -> Window:
    """Return pictures that came one after the other as a window, the last one first."""
    samples = [
        Sample(
            sample_id=f"s{number}",
            received_at=_NOON + timedelta(seconds=number),
            model_version="1",
            weights_digest="w",
            picture_digest="p",
            source=sources[number] if sources else "camera",
            features=one.features,
            embedding=one.embedding,
            difference_hash=one.difference_hash,
        )
        for number, one in enumerate(seen)
    ]
    return Window("w", tuple(reversed(samples)))


def _views(line: Line, scenes: Scenes, others: list[int], rng: np.random.Generator) -> list[tuple[int, int]]:
    if line.kind == "walk":
        runs = (_walk(scenes, others, line.run_length, rng) for _ in range(line.num_runs))
        return [view for run in runs for view in run]
    chosen = rng.choice(others, line.num_runs, replace=False).tolist()
    first = {"frames": FRAMES, "shuffled": FRAMES, "still": FRAMES}.get(line.kind, 0)
    if line.kind in ("changed", "changed frames"):
        return [(scene, CHANGED + step % 2) for scene in chosen for step in range(line.run_length)]
    starts = np.zeros(line.num_runs, int) if first else rng.integers(NUM_PARTS, size=line.num_runs)
    views = [
        (scene, first + int(start + step) % NUM_PARTS)
        for scene, start in zip(chosen, starts, strict=True)
        for step in range(line.run_length)
    ]
    return [views[one] for one in rng.permutation(len(views))] if line.kind == "shuffled" else views


def _walk(
    scenes: Scenes, others: list[int], num_steps: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return photographs along a slow path: at each step one of the nearest scene not yet seen."""
    places = scenes.places[others]
    here, seen, found = rng.normal(size=3), np.zeros(len(others), bool), []
    for _ in range(num_steps):
        distances = np.where(seen, np.inf, np.square(places - here).sum(axis=1))
        nearest = int(distances.argmin())
        seen[nearest] = True
        found.append((others[nearest], int(rng.integers(NUM_PARTS))))
        here = _FOLLOWS * here + np.sqrt(1.0 - _FOLLOWS**2) * rng.normal(size=3)
    return found
