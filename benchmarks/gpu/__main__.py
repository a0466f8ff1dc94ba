"""Measure a GPU beside stock torchvision: ``python -m benchmarks.gpu``. On a CPU in small, as a rehearsal."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.gpu.cases import FULL, SMALL, Found, name_cases
from benchmarks.provenance import describe_run, identify_run
from maskloop.files import write_text
from models.devices import choose_device

RESULTS: Final = Path(__file__).resolve().parent / "runs" / "gpu.json"
_BUDGET_S: Final = 420.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the results do not hold yet, case by case, and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="auto", help="cuda, cpu, or auto (default)")
    parser.add_argument("--small", action="store_true", help="small everywhere (what a CPU always does)")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"JSON, added to (default: {RESULTS})")
    parser.add_argument("--budget-s", type=float, default=_BUDGET_S, help="no case begins after that")
    wanted = parser.parse_args(arguments)
    device = choose_device(wanted.device)
    size = SMALL if wanted.small or device.type == "cpu" else FULL
    machine = {**describe_run(), "device": str(device), "size": str(size)}
    results = measure(name_cases(size, device), machine, wanted.results, budget_s=wanted.budget_s)
    print(json.dumps(results, indent=1))


def measure(
    cases: Mapping[str, Callable[[], Found]], machine: Mapping[str, str], path: Path, *, budget_s: float
) -> dict[str, Any]:
    """Measure the cases that the results at ``path`` lack, writing them down one by one.

    Results of another machine, commit or size are begun anew. What no time was left for is named in
    ``left``; the same command goes on with it.
    """
    start = time.monotonic()
    results: dict[str, Any] = {"machine": dict(machine), "cases": {}}
    before = json.loads(path.read_text()) if path.exists() else results
    if identify_run(before["machine"]) == identify_run(machine):
        results = before
    for name, run in cases.items():
        if name in results["cases"]:
            continue
        if time.monotonic() - start > budget_s:
            break
        began = time.monotonic()
        found = dict(run())
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        results["cases"][name] = {"seconds": round(time.monotonic() - began, 1), **found}
        results["left"] = [each for each in cases if each not in results["cases"]]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
