"""Cost of the same 100 pictures in workspaces of growing size: ``python -m benchmarks.ingestion``.

Each build runs its own command, ``maskloop ingest``, in a process of its own: into a workspace as
``maskloop init`` leaves it, and into others that hold thousands of pictures already. CPU seconds count every
child process, after bytecode was compiled; peak memory is the largest process's. ``--beside`` names checkouts
of other builds with an environment in ``.venv``, which take turns with this one. Figures are printed as JSON
and kept in ``benchmarks/ingestion/runs/``; workspaces that are complete are used again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.ingestion.drawing import write_batch
from benchmarks.provenance import describe_run

OWN: Final = Path(__file__).resolve().parents[2]
RUNS: Final = Path(__file__).resolve().parent / "runs"
SIZES: Final = (0, 2_000, 8_000, 20_000)
NUM_NEW: Final = 100
TURNS: Final = 3
_FIRST_NEW: Final = 900_000


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingestion", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="pictures that are there")
    parser.add_argument("--turns", type=int, default=TURNS, help="batches of 100 pictures per size")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="checkouts of other builds")
    parser.add_argument("--folder", type=Path, default=RUNS, help="where workspaces and figures are kept")
    wanted = parser.parse_args()
    builds = {checkout.resolve().name: checkout.resolve() for checkout in (OWN, *wanted.beside)}
    for name, checkout in builds.items():
        warm_up(wanted.folder / name, checkout, wanted.folder)
    rows = [measure(size, builds, wanted.turns, wanted.folder) for size in wanted.sizes]
    figures = {**describe_run(), "new pictures": NUM_NEW, "rows": rows, "growth": growth(rows, list(builds))}
    (wanted.folder / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures, indent=1))


def warm_up(own: Path, checkout: Path, folder: Path) -> None:
    """Ingest twice, so that a build's bytecode is there."""
    if not (own / "warm-up" / "ready.json").exists():
        prepare(own / "warm-up", NUM_NEW, checkout, folder, {})
        later = range(NUM_NEW, 2 * NUM_NEW)
        ingest(checkout, own / "warm-up", write_batch(folder / "warm-up", later))


def measure(size: int, builds: Mapping[str, Path], turns: int, folder: Path) -> dict[str, Any]:
    """Ingest batches of `NUM_NEW` pictures into a workspace of each build, in turns.

    Into an empty workspace the same batch goes each time, into a new one; into others one batch after the
    other goes.
    """
    row: dict[str, Any] = {"pictures": size, **{name: {"CPU s": [], "wall s": []} for name in builds}}
    for turn in range(turns):
        first = _FIRST_NEW + NUM_NEW * turn
        batch = write_batch(folder / f"new-{first}", range(first, first + NUM_NEW))
        for name, checkout in builds.items():
            workspace = prepare(
                folder / name / (f"{size}" if size else f"0-{turn}"), size, checkout, folder, row[name]
            )
            done = workspace / f"new-{first}.json"
            if not done.exists():
                done.write_text(json.dumps(ingest(checkout, workspace, batch)))
            spent = json.loads(done.read_text())
            row[name]["CPU s"].append(spent["CPU s"])
            row[name]["wall s"].append(spent["wall s"])
            row[name]["peak memory, MB"] = max(spent["peak memory, MB"], row[name].get("peak memory, MB", 0))
    return row


def prepare(workspace: Path, size: int, checkout: Path, folder: Path, row: dict[str, Any]) -> Path:
    """Give a workspace that holds so many pictures, taken in at once."""
    ready = workspace / "ready.json"
    if not ready.exists():
        workspace.mkdir(parents=True, exist_ok=True)
        run(checkout, workspace.parent, "init", str(workspace))
        spent = (
            ingest(checkout, workspace, write_batch(folder / f"first-{size}", range(size))) if size else {}
        )
        ready.write_text(json.dumps(spent))
    row["first ingest"] = json.loads(ready.read_text())
    return workspace


def ingest(checkout: Path, workspace: Path, batch: Path) -> dict[str, float]:
    """Run ``maskloop ingest`` and return what it and its children spent."""
    source = batch.parent.name
    return run(
        checkout, workspace.parent, "ingest", str(batch), "--workspace", str(workspace), "--source", source
    )


def run(checkout: Path, folder: Path, *arguments: str) -> dict[str, float]:
    """Run a build's command, whose bytecode is kept in a folder; return what it and its children spent."""
    bytecode = folder / "bytecode"
    command = [str(checkout / ".venv" / "bin" / "maskloop"), *arguments]
    start = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(bytecode)}
    process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return {
        "CPU s": round(used.ru_utime + used.ru_stime, 2),
        "wall s": round(time.perf_counter() - start, 2),
        "peak memory, MB": used.ru_maxrss // 1024,
    }


def growth(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return each size's median CPU seconds over those of the first size, by build."""
    middles = {name: [statistics.median(row[name]["CPU s"]) for row in rows] for name in names}
    return {
        name: {
            str(row["pictures"]): round(middle / values[0], 2)
            for row, middle in zip(rows, values, strict=True)
        }
        for name, values in middles.items()
    }


if __name__ == "__main__":
    main()
