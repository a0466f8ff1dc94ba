"""How far estimates without labels are from labels: ``python -m benchmarks.estimate``.

Champions are those of `benchmarks.labelling`, trained if they are not there yet. Every answer of a champion
is kept, so an interrupted run goes on where it stopped; ``--table`` prints what is measured already.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch

from benchmarks.estimate.labels import measure_intervals, to_interval_table
from benchmarks.estimate.methods import (
    ByScore,
    as_lesson,
    by_confidence,
    by_views,
    signs_of,
    true_figures,
)
from benchmarks.estimate.pictures import NEW_SOURCE, RUNS, answer, sets_to_answer
from benchmarks.labelling.scenarios import SCENARIOS
from benchmarks.provenance import describe_run
from models.answering.predictor import TorchPredictor
from monitoring.quality.estimator import estimate_quality
from monitoring.quality.lessons import Lessons, write_lessons
from monitoring.quality.shifts import REFERENCE

NAMES: Final[Mapping[str, str]] = {"nuclei": "nuclei", "carparts": "car parts", "replaced": "demo"}
FILE: Final = RUNS / "estimate.json"
METHODS: Final = ("shifts", "score", "views", "confidence")
FEW: Final = 30
"""Classes with fewer instances in the tested pictures are left out of tables: their truth is itself a
guess."""
Row = Mapping[str, Any]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimate", description=__doc__)
    parser.add_argument("--scenario", choices=list(NAMES), action="append", help="default: all")
    parser.add_argument("--table", action="store_true", help="print what is measured already")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    measured = json.loads(FILE.read_text()) if FILE.exists() else {}
    if not wanted.table:
        for name in wanted.scenario or NAMES:
            measured[name] = measure_scenario(name)
            measured["made"] = describe_run()
            FILE.parent.mkdir(parents=True, exist_ok=True)
            FILE.write_text(json.dumps(measured, indent=1) + "\n")
    print(to_markdown(measured))


def measure_scenario(name: str) -> dict[str, Any]:
    """Return rows of estimates and truths, and of intervals once labels come."""
    scenario = SCENARIOS[name]
    pictures = scenario.pictures(0)
    predictor = TorchPredictor.load(scenario.train_champion(pictures), device="cpu")
    names, threshold = predictor.class_names, predictor.score_threshold
    sets = [
        (role, shift, answer(f"{name}/{role}", predictor, pictures, chosen, shift))
        for role, chosen, shift in sets_to_answer(pictures)
    ]
    learned = [(shift, found) for role, shift, found in sets if role == "calibration"]
    own = learned[0][1]
    lessons = write_lessons(
        [as_lesson(shift.kind, found, len(names), threshold) for shift, found in learned],
        weights_digest=predictor.weights_digest,
        class_names=names,
        score_threshold=threshold,
    )
    by_score, reference = ByScore(own, len(names), threshold), signs_of(own, len(names), threshold)
    known = true_figures(own, names, threshold)["mask_iou"]
    rows: list[Row] = []
    for shift, found in ((shift, found) for role, shift, found in sets if role == "test"):
        window = signs_of(found, len(names), threshold)
        others = {
            "score": by_score.estimate(found),
            "views": by_views(reference, window, known),
            "confidence": by_confidence(reference, window, known),
        }
        counts = np.bincount(np.concatenate([one.truth.class_indices for one in found]), minlength=len(names))
        truth = true_figures(found, names, threshold)
        for estimate in estimate_quality(lessons, window):
            index = names.index(estimate.class_name)
            if np.isfinite(truth[estimate.metric][index]):
                rows.append(
                    {
                        "shift": shift.name,
                        "class": estimate.class_name,
                        "metric": estimate.metric,
                        "instances": int(counts[index]),
                        "truth": float(truth[estimate.metric][index]),
                        "shifts": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                        "refused": estimate.refused_because,
                        **{
                            method: float(values[index])
                            for method, values in others.items()
                            if estimate.metric == "mask_iou" and np.isfinite(values[index])
                        },
                    }
                )
    tested = next(found for role, shift, found in sets if role == "test" and shift.name == REFERENCE)
    return {
        "rows": rows,
        "left_out": list(leave_kinds_out(lessons)),
        "labels": measure_intervals(tested, names, threshold),
    }


def leave_kinds_out(lessons: Lessons) -> Iterator[Row]:
    """Yield the product's error on each kind of shift, learned from all others."""
    from monitoring.quality.estimator import fit_regression

    for kind in sorted(set(lessons.kinds)):
        own = np.array(lessons.kinds) == kind
        for index, name in enumerate(lessons.class_names):
            figures, windows = lessons.figures[:, index, 0], lessons.windows[:, index]
            use = np.isfinite(figures)
            if lessons.num_instances[index] < FEW or not (use & own).any():
                continue
            value, _ = fit_regression(windows[use & ~own], figures[use & ~own]).predict(windows[use & own])
            yield {"kind": kind, "class": name, "error": float(np.abs(value - figures[use & own]).mean())}


def to_markdown(measured: Mapping[str, Any]) -> str:
    """Return the tables."""
    known = {title: measured[name] for name, title in NAMES.items() if name in measured}
    parts = [_errors_table(known), _new_source_table(known), _by_shift_table(known)]
    parts.append(to_interval_table({title: one["labels"] for title, one in known.items()}))
    return "\n\n".join(parts)


def _counted(one: Mapping[str, Any], metric: str) -> list[Row]:
    return [row for row in one["rows"] if row["metric"] == metric and row["instances"] >= FEW]


def _errors_table(known: Mapping[str, Any]) -> str:
    head = [
        "data",
        "figure",
        "way",
        "answered",
        "mean error",
        "at most 0.05",
        "largest",
        "in the band",
        "band",
    ]
    lines = [head]
    for title, one in known.items():
        for metric in ("mask_iou", "mask_ap"):
            rows = _counted(one, metric)
            for method in METHODS if metric == "mask_iou" else METHODS[:1]:
                have = [row for row in rows if row.get(method) is not None]
                errors = np.array([abs(row[method] - row["truth"]) for row in have])
                band = ["", ""]
                if method == "shifts":
                    band = [
                        f"{np.mean([row['low'] <= row['truth'] <= row['high'] for row in have]):.0%}",
                        f"±{np.median([row['high'] - row['low'] for row in have]) / 2:.2f}",
                    ]
                lines.append(
                    [
                        *(title, metric.replace("_", " "), method, f"{len(have)} of {len(rows)}"),
                        *(f"{errors.mean():.3f}", f"{np.mean(errors <= 0.05):.0%}", f"{errors.max():.2f}"),
                        *band,
                    ]
                )
        left_out = [row["error"] for row in one["left_out"]]
        lines.append(
            [
                title,
                "mask iou",
                "shifts, without their kind",
                "",
                f"{np.mean(left_out):.3f}",
                "",
                f"{max(left_out):.2f}",
                "",
                "",
            ]
        )
    return _table(lines)


def _new_source_table(known: Mapping[str, Any]) -> str:
    lines = [["data", "class", "truth", *METHODS, "refused because"]]
    for title, one in known.items():
        for row in _counted(one, "mask_iou"):
            if row["shift"] == NEW_SOURCE:
                shown = [f"{row[method]:.2f}" if row.get(method) is not None else "–" for method in METHODS]
                if row["shifts"] is not None:
                    shown[0] = f"{row['shifts']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
                lines.append([title, row["class"], f"{row['truth']:.2f}", *shown, row["refused"]])
    return _table(lines)


def _by_shift_table(known: Mapping[str, Any]) -> str:
    shifts = list(dict.fromkeys(row["shift"] for one in known.values() for row in one["rows"]))
    columns = [f"{title}: {what}" for title in known for what in ("truth", "mean error", "refused")]
    lines = [["shift", *columns]]
    for shift in shifts:
        line = [shift]
        for one in known.values():
            rows = [row for row in _counted(one, "mask_iou") if row["shift"] == shift]
            told = [row for row in rows if row["shifts"] is not None]
            errors = [abs(row["shifts"] - row["truth"]) for row in told]
            line.append(f"{np.mean([row['truth'] for row in rows]):.2f}" if rows else "–")
            line.append(f"{np.mean(errors):.3f}" if errors else "–")
            line.append(f"{len(rows) - len(told)} of {len(rows)}")
        lines.append(line)
    return _table(lines)


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rest])


if __name__ == "__main__":
    main()
