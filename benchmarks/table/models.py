"""Rows 4, 6 and 7: training steps and predictions in float32, beside stock torchvision."""

from __future__ import annotations

import torch

from benchmarks.speed import predict
from benchmarks.speed.train import OURS, OURS_FP32, STOCK, cases, make_contestants
from benchmarks.table.lines import Line, Row, find_line
from benchmarks.timing import Spread, take_turns


def measure_demo_step(quick: bool) -> Row:
    """Take training steps of the demo's network in float32, beside stock torchvision's reference loop."""
    return _training("the demo's training step in float32", 0, 1.5, quick)


def measure_large_step(quick: bool) -> Row:
    """Take training steps of ResNet-50 in float32, beside stock torchvision's reference loop."""
    return _training("ResNet-50's training step in float32", 1, 1.5, quick)


def _training(title: str, number: int, goal: float, quick: bool) -> Row:
    case = cases(quick=True)[number]
    made = make_contestants(case, torch.device("cpu"))
    own = OURS_FP32 if OURS_FP32 in made else OURS
    contestants = {name: made[name] for name in (STOCK, own)}
    losses = {name: float(run()) for name, run in contestants.items()}
    rounds = take_turns(contestants, rounds=1 if quick else 5, budget_s=5.0 if quick else 40.0)
    faster = rounds.times_faster(own, STOCK, cpu=True).median
    figures = {f"{name}, CPU s": Spread.of(rounds.cpu_s[name]).median for name in contestants}
    figures |= {f"loss of {name}": loss for name, loss in losses.items()}
    line = Line(f"{case.name}, torchvision's time beside ours", faster, "x", "at least", goal, figures)
    return Row(title, (line,), f"operations limited to {torch.backends.cpu.get_cpu_capability()}")


def measure_predictions(quick: bool) -> Row:
    """Predict with ResNet-50 FPN in float32, beside stock torchvision."""
    report = predict.measure_predict(
        torch.device("cpu"),
        quick=quick,
        batches=(1,),
        min_size_px=160 if quick else 320,
        budget_s=2.0 if quick else 12.0,
    )
    lines = []
    for count in (0, 10, 100):
        case = f"batch 1, {count} instances"
        own, stock = (find_line(report, case, name) for name in (predict.OURS, predict.STOCK))
        figures = {"CPU s": own.cpu_s, "torchvision, CPU s": stock.cpu_s}
        lines.append(
            Line(
                f"{case}, torchvision's time beside ours",
                own.times_less_cpu.median,
                "x",
                "at least",
                2.5,
                figures,
            )
        )
    return Row("float32 predictions", tuple(lines), "torch; exports: `python -m benchmarks.speed export`")
