"""Sketches beside Evidently and exact tests, larger and larger: ``python -m benchmarks.sketches``.

Every run has a process of its own, so that its memory is its own. A contestant that fails, or needs longer
than the limit, takes part no more. About ten minutes with the default sizes; the samples need 1.5 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.provenance import describe_run

NUM_FEATURES: Final = 12
WIDTH: Final = 256
NUM_REFERENCE: Final = 1000
_ROWS_AT_ONCE: Final = 100_000
_KINDS: Final = {
    "numbers": (NUM_FEATURES, ("sketches", "evidently", "exact test")),
    "embeddings": (WIDTH, ("fourier", "evidently mmd", "exact mmd")),
}


def main() -> None:
    """Print one line of JSON for each size and contestant."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sketches", description=__doc__)
    parser.add_argument("--numbers", type=int, nargs="*", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--embeddings", type=int, nargs="*", default=[1000, 5000, 20_000, 100_000, 1_000_000])
    parser.add_argument("--limit-s", type=float, default=240.0, help="wall-clock time of one run")
    parser.add_argument("--limit-gb", type=float, default=12.0, help="address space of one run")
    wanted = parser.parse_args()
    print(json.dumps(describe_run()), flush=True)
    with tempfile.TemporaryDirectory(prefix="sketches-") as folder:
        for kind, (width, names) in _KINDS.items():
            sizes = sorted(getattr(wanted, kind))
            file = _write_samples(Path(folder) / kind, max(sizes, default=0), width)
            stopped: set[str] = set()
            for num_rows in sizes:
                for name in names:
                    if name in stopped:
                        continue
                    found = _run(name, file, num_rows, wanted.limit_s, wanted.limit_gb)
                    if "stopped" in found:
                        stopped.add(name)
                    print(json.dumps({"kind": kind, "rows": num_rows, "name": name, **found}), flush=True)
            file.unlink(missing_ok=True)


def _write_samples(file: Path, num_rows: int, width: int) -> Path:
    """Write a slowly drifting week, and a reference; columns depend on each other."""
    rng = np.random.default_rng(7)
    mixing = (rng.normal(size=(width, width)) / np.sqrt(width)).astype(np.float32)
    reference = rng.standard_normal((NUM_REFERENCE, width), dtype=np.float32) @ mixing
    np.save(file.with_suffix(".reference.npy"), reference)
    with file.open("wb") as stream:
        for start in range(0, num_rows, _ROWS_AT_ONCE):
            count = min(_ROWS_AT_ONCE, num_rows - start)
            rows = rng.standard_normal((count, width), dtype=np.float32) @ mixing
            (rows + np.float32(0.2)).tofile(stream)
    return file


def _run(name: str, file: Path, num_rows: int, limit_s: float, limit_gb: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.sketches.contestants", name, str(file), str(num_rows)]
    limited = ["prlimit", f"--as={int(limit_gb * 1e9)}", *command]
    # One thread for each: of two, one spins while the products of an hour are too small to share.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            limited, capture_output=True, text=True, timeout=limit_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"stopped": f"longer than {limit_s:.0f} s"}
    if done.returncode:
        return {"stopped": _last_line(done.stderr.splitlines()) or f"exit code {done.returncode}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _last_line(lines: Sequence[str]) -> str:
    return lines[-1][:200] if lines else ""


if __name__ == "__main__":
    main()
