"""The rows of the table, each measured in a process of its own: ``python -m benchmarks.table.rows NUMBER``.

Every ratio is of two things that ran side by side in one process or in turns, never of two runs.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.table.lines import Row

_MEASURED_BY: Final[Mapping[int, str]] = {
    1: "data:measure_ingest",
    2: "data:measure_reading",
    3: "judging:measure_average_precision",
    4: "models:measure_demo_step",
    6: "models:measure_predictions",
    7: "models:measure_large_step",
    9: "growing:measure_long_life",
    10: "serving:measure_service",
}
_NOT_HERE: Final[Mapping[int, Row]] = {
    5: Row("make test", (), "measured by `make test` itself, which takes longer than this table"),
    8: Row("a GPU", (), "`make gpu` measures it where there is one"),
}
ROWS: Final = sorted({*_MEASURED_BY, *_NOT_HERE})
_AVX2: Final = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1"}
ENVIRONMENTS: Final[Mapping[int, Mapping[str, str]]] = {
    **dict.fromkeys(ROWS, _ONE_THREAD),
    4: _AVX2 | _ONE_THREAD,
    7: _AVX2 | _ONE_THREAD,
    10: {},
}
"""What each row's process finds in its environment: rows 4 and 7 are asked for without AVX-512."""


def measure_row(number: int, *, quick: bool) -> Row:
    """Measure a row in this process, or say what measures it."""
    if number in _NOT_HERE:
        return _NOT_HERE[number]
    module, name = _MEASURED_BY[number].split(":")  # imported for the row alone: most need no torch
    measure: Callable[[bool], Row] = getattr(importlib.import_module(f"benchmarks.table.{module}"), name)
    return measure(quick)


def main() -> None:
    """Measure one row and print it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table.rows", description=__doc__)
    parser.add_argument("row", type=int, choices=ROWS)
    parser.add_argument("--quick", action="store_true", help="in small, to see that it works")
    wanted = parser.parse_args()
    print(json.dumps(measure_row(wanted.row, quick=wanted.quick).to_json()))


if __name__ == "__main__":
    main()
