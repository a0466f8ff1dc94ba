"""Make the table of speed and growth: ``make bench``, or ``python -m benchmarks.table [--only ROW ...]``.

Each row runs in a process of its own and is written down when it ends; the same command goes on with the rows
that are missing. Results of another machine or commit are begun anew. Fifteen minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.provenance import describe_run, identify_run
from benchmarks.table.page import publish
from benchmarks.table.rows import ENVIRONMENTS, ROWS
from maskloop.files import write_text

RESULTS: Final = Path(__file__).resolve().parent / "runs" / "table.json"
_ROOT: Final = Path(__file__).resolve().parents[2]

MeasureRow = Callable[[int], Mapping[str, Any]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the rows that the results do not hold, and print where they are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("--only", type=int, nargs="+", choices=ROWS, help="these rows, once more")
    parser.add_argument("--quick", action="store_true", help="in small, to see that it works")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON, added to (default: below runs/)")
    parser.add_argument("--publish", action="store_true", help="measure nothing; publish the results")
    wanted = parser.parse_args(arguments)
    if wanted.publish:
        publish(wanted.results)
        return
    run = describe_run()
    machine = {**run, "instruction set": run["cpu"], "size": "small" if wanted.quick else "full"}
    measure_rows(
        wanted.only or ROWS,
        lambda number: _in_own_process(number, quick=wanted.quick),
        machine,
        wanted.results,
        again=bool(wanted.only),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(wanted.results)


def measure_rows(
    numbers: Iterable[int],
    measure: MeasureRow,
    machine: Mapping[str, str],
    path: Path,
    *,
    again: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure rows one by one into the results at ``path``; return them.

    Args:
        numbers: Of the rows.
        measure: Returns one as plain data.
        machine: What `describe_run` tells.
        path: Results of this machine and commit are added to, others are begun anew.
        again: Also measure what is there.
        say: Is told about the progress.
    """
    results: dict[str, Any] = {"machine": dict(machine), "date": machine.get("date", ""), "rows": {}}
    before = json.loads(path.read_text()) if path.exists() else results
    if identify_run(before["machine"]) == identify_run(machine):
        results["rows"] = before["rows"]
    for number in numbers:
        if str(number) in results["rows"] and not again:
            continue
        say(f"row {number} ...")
        began = time.monotonic()
        row = measure(number)
        seconds = round(time.monotonic() - began, 1)
        results["rows"][str(number)] = {"seconds": seconds, "row": row}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(results, indent=1) + "\n")
        say(f"row {number} took {seconds} s: {row['title']}")
    return results


def _in_own_process(number: int, *, quick: bool) -> Mapping[str, Any]:
    command = [sys.executable, "-m", "benchmarks.table.rows", str(number), *(["--quick"] if quick else [])]
    environment = {**os.environ, **ENVIRONMENTS[number]}
    done = subprocess.run(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"title": f"row {number}", "lines": [], "remark": f"failed with status {done.returncode}"}
    told: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


if __name__ == "__main__":
    main()
