"""Measure speed: ``python -m benchmarks.speed predict|masks|evaluate|train|judging|loading|export``."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.speed.evaluate import measure_evaluate
from benchmarks.speed.export import measure_export
from benchmarks.speed.judging import measure_judging
from benchmarks.speed.loading import measure_loading
from benchmarks.speed.masks import measure_masks
from benchmarks.speed.predict import measure_predict
from benchmarks.speed.report import Report
from benchmarks.speed.train import measure_train
from models.devices import choose_device

SUBJECTS = ("predict", "masks", "evaluate", "train", "judging", "loading", "export")
RESULTS = Path(__file__).resolve().parent / "runs"


def main() -> None:
    """Measure what was asked for, print the tables and write them below ``runs/``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("subjects", nargs="+", choices=SUBJECTS)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    parser.add_argument("--threads", type=int, help="for torch (default: torch's own number)")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, for a first look")
    parser.add_argument("--min-size-px", type=int, help="shorter side for predict (default: 800, quick: 160)")
    parser.add_argument("--batches", type=int, nargs="+", help="for predict (default: 1 8, quick: 1)")
    parser.add_argument("--each-part", action="store_true", help="train also without each fast part")
    parser.add_argument("--profile", action="store_true", help="tell where the time of predict or train goes")
    parser.add_argument("--budget-s", type=float, help="for each case (default: 60, quick: 3)")
    wanted = parser.parse_args()
    if wanted.threads:
        torch.set_num_threads(wanted.threads)
    for subject in wanted.subjects:
        report = measure(subject, wanted)
        print(f"## {subject}\n\n{report.to_markdown()}\n{report.write(RESULTS)}\n")


def measure(subject: str, wanted: argparse.Namespace) -> Report:
    """Measure one subject as the command line asks."""
    quick = wanted.quick
    budget_s = wanted.budget_s or (3.0 if quick else 60.0)
    if subject == "evaluate":
        return measure_evaluate(quick=quick, budget_s=budget_s)
    if subject == "loading":
        return measure_loading(quick=quick, budget_s=budget_s)
    if subject == "judging":
        return measure_judging(choose_device(wanted.device), quick=quick, budget_s=budget_s)
    if subject == "masks":
        return measure_masks(quick=quick, budget_s=budget_s)
    if subject == "train":
        return measure_train(
            choose_device(wanted.device),
            quick=quick,
            budget_s=budget_s,
            each_part=wanted.each_part,
            profiled=wanted.profile,
        )
    min_size_px = wanted.min_size_px or (160 if quick else 800)
    batches = wanted.batches or ((1,) if quick else (1, 8))
    if subject == "export":
        return measure_export(quick=quick, batches=batches, min_size_px=min_size_px, budget_s=budget_s)
    return measure_predict(
        choose_device(wanted.device),
        quick=quick,
        batches=batches,
        min_size_px=min_size_px,
        budget_s=budget_s,
        profiled=wanted.profile,
    )


if __name__ == "__main__":
    main()
