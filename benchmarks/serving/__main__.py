"""Measure the service: ``python -m benchmarks.serving [--quick] [saturation servers rush photographs]``."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.serving import photographs, rush, saturation
from benchmarks.serving.checking import compute_expected
from benchmarks.serving.comparison import (
    default_environment,
    make_environment,
    measure_bare,
    measure_servers,
)
from benchmarks.serving.contestants import others, ours
from benchmarks.serving.report import describe_machine, write_report
from benchmarks.serving.workspace import Prepared, make_ready

RUNS = Path(__file__).resolve().parent / "runs"
PARTS = ("saturation", "servers", "rush", "photographs")


def main() -> None:
    """Measure what was asked for, part by part; write and print the tables."""
    wanted = read_command_line()
    workspace: Path = wanted.workspace or RUNS / "demo"
    if not wanted.workspace:
        shutil.rmtree(RUNS / "demo", ignore_errors=True)
    logs = workspace / "logs"
    needs_demo = set(wanted.parts) != {"photographs"}
    prepared = make_ready(workspace.resolve(), quick=wanted.quick) if needs_demo else None
    path = None
    for name in wanted.parts:
        machine, started_s = describe_machine(), time.monotonic()
        measured = measure(name, prepared, logs, wanted)
        seconds = round(time.monotonic() - started_s)
        machine |= {"quick": wanted.quick, "seconds": seconds}
        path = write_report(RUNS, {name: {**measured, "machine": machine}})
        print(f"{name}: {seconds} s", flush=True)
    if path:
        print(path.with_suffix(".md").read_text())
        print(path)


def read_command_line() -> argparse.Namespace:
    """Return what is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--quick", action="store_true", help="minutes instead of half an hour: a first look")
    parser.add_argument("--workspace", type=Path, help="keep, and use again, a workspace there")
    parser.add_argument(
        "--other-servers", type=Path, help="environment of the other servers; made if it is not there"
    )
    wanted = parser.parse_args()
    wanted.parts = wanted.parts or list(PARTS)
    return wanted


def measure(name: str, prepared: Prepared | None, logs: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Measure one part."""
    quick: bool = wanted.quick
    length = saturation.QUICK if quick else saturation.FULL
    if name == "photographs":
        root = logs.parent.with_name(f"{logs.parent.name}-photographs")
        return photographs.measure_photographs(root, logs / "photographs.log", length)
    assert prepared
    measurements: dict[str, Callable[[], dict[str, Any]]] = {
        "saturation": lambda: measure_demo(prepared, logs, length),
        "servers": lambda: measure_all_servers(prepared, logs, wanted),
        "rush": lambda: rush.measure_rush(prepared, logs / "rush.log", rush.QUICK if quick else rush.FULL),
    }
    return measurements[name]()


def measure_demo(prepared: Prepared, logs: Path, length: saturation.Length) -> dict[str, Any]:
    """Measure the demo's champion beside its bare model."""
    root, model = prepared.app.workspace.root, prepared.directories[prepared.champion]
    log = logs / "saturation.log"
    return saturation.measure_saturation(
        ours(root), model, prepared.pictures, log, length, several_workers=ours(root, workers=2)
    )


def measure_all_servers(prepared: Prepared, logs: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Measure the bare model, our service and the others, one after the other."""
    model, pictures = prepared.directories[prepared.champion], prepared.pictures
    seconds = 4.0 if wanted.quick else 20.0
    expected = compute_expected({prepared.champion: model}, pictures, max_batch=8)
    root = prepared.app.workspace.root
    contestants = [ours(root), ours(root, workers=2)]
    rows = [measure_bare(model, pictures, seconds=seconds / 2)]
    try:
        python = make_environment(wanted.other_servers or default_environment())
        contestants += others(python, model)
    except RuntimeError as error:
        rows.append({"name": "the others", "problem": str(error)})
    rows += measure_servers(contestants, pictures, logs, expected, seconds=seconds)
    return {"rows": rows}


if __name__ == "__main__":
    main()
