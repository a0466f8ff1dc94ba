"""Measure what a long history costs: ``python -m benchmarks.ledger [--beside CHECKOUT]``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.ledger.story import ENTRIES_PER_CYCLE, write_story
from models.artifacts.environment import describe_environment

_ROOT = Path(__file__).resolve().parents[2]
_RESULTS = Path(__file__).resolve().parent / "runs"
_ASKED = {
    "state": "the first state",
    "status": "`maskloop status`, without imports",
    "status command": "`maskloop status`, the whole command",
    "history": "`maskloop history`, without imports",
    "reconcile": "a reconcile with nothing due",
}
_WARM_UP_CYCLES = 3


def main() -> None:
    """Write the histories, measure each build on each of them, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--cycles", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--beside", type=Path, help="a checkout of another commit, measured in the same run")
    parser.add_argument("--questions", nargs="+", choices=list(_ASKED), default=list(_ASKED))
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many (--beside: of one)")
    wanted = parser.parse_args()
    builds = {"before": wanted.beside} if wanted.beside else {}
    builds["now"] = _ROOT
    measured: dict[tuple[str, int], Mapping[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="ledger-benchmark-") as folder:
        warm = Path(folder) / "warm"
        write_story(warm, _WARM_UP_CYCLES)
        for num_cycles in wanted.cycles:
            root = Path(folder) / str(num_cycles)
            write_story(root, num_cycles)
            for name, checkout in builds.items():
                rounds = wanted.rounds if name == "now" else 1
                measured[name, num_cycles] = _measure(checkout, warm, root, wanted.questions, rounds)
                print(f"{name}, {num_cycles} cycles: {measured[name, num_cycles]}", file=sys.stderr)
    table = _draw(measured, wanted.questions, wanted.cycles, list(builds))
    machine = ", ".join(f"{name} {value}" for name, value in describe_environment().items())
    _RESULTS.mkdir(exist_ok=True)
    rows = [{"build": name, "cycles": number, **seconds} for (name, number), seconds in measured.items()]
    (_RESULTS / "ledger.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (_RESULTS / "ledger.md").write_text(f"{table}\n\n{machine}\n", encoding="utf-8")
    print(f"{table}\n\n{machine}")


def _measure(
    checkout: Path, warm: Path, root: Path, questions: Sequence[str], rounds: int
) -> Mapping[str, float]:
    program = Path(__file__).with_name("measure.py")
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, str(program), str(warm), str(root), ",".join(questions), str(rounds)],
        env=environment,
        cwd=checkout,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def _draw(
    measured: Mapping[tuple[str, int], Mapping[str, float]],
    questions: Sequence[str],
    cycles: Sequence[int],
    builds: Sequence[str],
) -> str:
    """Return CPU seconds as a table: a row for each question and build, a column for each length."""
    head = [
        "CPU seconds",
        "",
        *(f"{number:,} cycles ({number * ENTRIES_PER_CYCLE:,} entries)" for number in cycles),
    ]
    rows = [head, ["---"] * len(head)]
    for question in questions:
        for name in builds:
            figures = [f"{measured[name, number][question]:.3f}" for number in cycles]
            rows.append([_ASKED[question], name, *figures])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
