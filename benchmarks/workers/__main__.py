"""Pictures a second of one worker and of several: ``python -m benchmarks.workers``.

On a CPU one worker with all cores is held against as many workers as cores, and both against one worker with
one core. With ``--device cuda``, one worker is held against 2, 4, … up to all GPUs, with the same batch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.provenance import describe_run
from benchmarks.timing import Spread
from benchmarks.workers.rank import Arrangement, networks, to_json
from models.devices import choose_device

_REPOSITORY = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure in turns and print a table, and what it was measured with."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--device", default="auto", help="cuda, cpu, or auto (default)")
    parser.add_argument("--network", choices=[*networks()], help="default: all a CPU can, or resnet50 800")
    parser.add_argument("--batch-size", type=int, help="default: 8 on a CPU, 16 on GPUs")
    parser.add_argument("--steps", type=int, default=10, help="timed in each turn")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args(arguments)
    device = choose_device(wanted.device).type
    names = [wanted.network] if wanted.network else _default_networks(device)
    for name in names:
        batch_size = wanted.batch_size or (16 if device == "cuda" else 8)
        arrangements = arrange(name, device, batch_size=batch_size, steps=wanted.steps)
        print("\n".join(describe(arrangements, take_turns(arrangements, rounds=wanted.rounds))))
    print(json.dumps(describe_run()))


def arrange(network: str, device: str, *, batch_size: int, steps: int) -> list[Arrangement]:
    """Return what is measured; the first is what the others are held against."""
    if device == "cuda":
        counts = [count for count in (1, 2, 4, 8, 16) if count <= torch.cuda.device_count()]
        spread = [(count, 1) for count in counts]
    else:
        cores = len(os.sched_getaffinity(0))
        spread = [(1, 1), (1, cores), (cores, 1)]
    return [Arrangement(network, workers, threads, batch_size, steps, device) for workers, threads in spread]


def take_turns(arrangements: Sequence[Arrangement], *, rounds: int) -> list[list[Mapping[str, float]]]:
    """Return what each took in each round: seconds by the clock, and CPU seconds of all ranks."""
    found: list[list[Mapping[str, float]]] = [[] for _ in arrangements]
    for turn in range(rounds):
        order = [*range(len(arrangements))]
        for number in [*order[turn % len(order) :], *order[: turn % len(order)]]:
            found[number].append(run(arrangements[number]))
    return found


def run(arrangement: Arrangement) -> Mapping[str, float]:
    """Train with so many processes, and wait for all of them."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(arrangement.threads)}
    with TemporaryDirectory() as folder:
        ranks = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.workers.rank", folder, str(rank), to_json(arrangement)],
                cwd=_REPOSITORY,
                env=environment,
            )
            for rank in range(arrangement.workers)
        ]
        codes = [process.wait() for process in ranks]
        if any(codes):
            raise SystemExit(f"a rank failed: {arrangement}")
        told = [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(len(ranks))]
    return {"wall_s": max(one["wall_s"] for one in told), "cpu_s": sum(one["cpu_s"] for one in told)}


def describe(
    arrangements: Sequence[Arrangement], found: Sequence[Sequence[Mapping[str, float]]]
) -> list[str]:
    """Return the lines of a table: the best round of each, and ratios to the first, round by round."""
    lines = [
        "| network | workers x threads | pictures/s | CPU s a picture | faster, median (quartiles) |",
        "|---|---|---|---|---|",
    ]
    for arrangement, rounds in zip(arrangements, found, strict=True):
        pictures = arrangement.steps * arrangement.batch_size
        ratios = [base["wall_s"] / own["wall_s"] for base, own in zip(found[0], rounds, strict=True)]
        spread = Spread.of(ratios)
        lines.append(
            f"| {arrangement.network} | {arrangement.workers} x {arrangement.threads} "
            f"| {pictures / min(own['wall_s'] for own in rounds):.2f} "
            f"| {min(own['cpu_s'] for own in rounds) / pictures:.3f} "
            f"| {spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f}) |"
        )
    return lines


def _default_networks(device: str) -> list[str]:
    return ["resnet50 800"] if device == "cuda" else ["small 128", "resnet18 256"]


if __name__ == "__main__":
    main()
