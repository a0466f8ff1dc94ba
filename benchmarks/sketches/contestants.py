"""One way to compare many samples with a reference, in a process of its own.

Prints one line of JSON: seconds, by how much memory grew, and what was found. Reading the samples counts;
making them, and importing libraries, does not.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import peak_memory_bytes
from monitoring.signals.two_sample import ks_test
from monitoring.sketches.comparison import ks_distance
from monitoring.sketches.fourier import FourierBasis, FourierSum, measure_discrepancy, merge_sums
from monitoring.sketches.number_sketch import NumberSketch, merge_numbers

HOURS_OF_A_WEEK: Final = 168
Table = NDArray[np.float32]


class Samples:
    """A table of float32 on disk, row by row, after a reference of the same width."""

    def __init__(self, file: Path, num_rows: int) -> None:
        self.file, self.num_rows = file, num_rows
        self.reference: Table = np.load(file.with_suffix(".reference.npy"))
        self.width = self.reference.shape[1]

    def read(self, start: int, stop: int) -> Table:
        """Read some rows."""
        count = (stop - start) * self.width
        offset = start * self.width * np.dtype(np.float32).itemsize
        return np.fromfile(self.file, np.float32, count, offset=offset).reshape(-1, self.width)

    def hours(self) -> Iterator[Table]:
        """Read a week hour by hour."""
        edges = np.linspace(0, self.num_rows, HOURS_OF_A_WEEK + 1).astype(int).tolist()
        for start, stop in pairwise(edges):
            yield self.read(start, stop)


def sketch_numbers(samples: Samples) -> Mapping[str, Any]:
    """Sketch every feature hour by hour, keep the bytes, merge the week and compare it."""
    kept = [[NumberSketch.of(column).to_bytes() for column in hour.T] for hour in samples.hours()]
    start = time.process_time()
    week = [merge_numbers(map(NumberSketch.from_bytes, of_feature)) for of_feature in zip(*kept, strict=True)]
    distances = [
        ks_distance(NumberSketch.of(column), one)
        for column, one in zip(samples.reference.T, week, strict=True)
    ]
    merging_s = time.process_time() - start
    size = sum(len(one) for hour in kept for one in hour)
    return {
        "distances": distances,
        "verdict_s": merging_s,
        "kept_mb": size / 1e6,
        "error": week[0].rank_error,
    }


def test_exactly(samples: Samples) -> Mapping[str, Any]:
    """Test every feature on all rows at once, as a drift window does."""
    everything = samples.read(0, samples.num_rows)
    pairs = zip(samples.reference.T, everything.T, strict=True)
    return {"distances": [ks_test(np.asarray(a, float), np.asarray(b, float)).distance for a, b in pairs]}


def ask_evidently(samples: Samples) -> Mapping[str, Any]:
    """Let Evidently's preset test every feature."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [f"feature {number}" for number in range(samples.width)]
    definition = DataDefinition(numerical_columns=names)

    def wrap(table: Table) -> Dataset:
        return Dataset.from_pandas(pd.DataFrame(table, columns=names), data_definition=definition)

    report = Report([DataDriftPreset(num_method="ks")])
    found = report.run(wrap(samples.read(0, samples.num_rows)), wrap(samples.reference)).dict()
    return {"p_values": [one["value"] for one in found["metrics"]][1:3]}


def sum_features(samples: Samples) -> Mapping[str, Any]:
    """Add up random Fourier features hour by hour, keep the bytes, merge the week and compare it."""
    basis = FourierBasis.draw(samples.reference, seed=1)
    kept = [FourierSum.of(hour, basis).to_bytes() for hour in samples.hours()]
    start = time.process_time()
    week = merge_sums(map(FourierSum.from_bytes, kept))
    found = measure_discrepancy(FourierSum.of(samples.reference, basis), week, false_alarm_rate=0.01)
    return {
        "mmd_squared": found.squared,
        "error": found.squared_error,
        "verdict_s": time.process_time() - start,
        "kept_mb": sum(map(len, kept)) / 1e6,
    }


def measure_exactly(samples: Samples) -> Mapping[str, Any]:
    """Compute the unbiased MMD² from all pairs, 2,000 rows at a time, with the same kernel."""
    basis = FourierBasis.draw(samples.reference, seed=1)
    inverse_width = float(np.linalg.norm(basis.frequencies)) / np.sqrt(basis.frequencies.size)
    reference, current = samples.reference, samples.read(0, samples.num_rows)
    squared = _mean_kernel(reference, reference, inverse_width) + _mean_kernel(
        current, current, inverse_width
    )
    return {"mmd_squared": squared - 2.0 * _mean_kernel(reference, current, inverse_width)}


def ask_evidently_for_mmd(samples: Samples) -> Mapping[str, Any]:
    """Let Evidently's method for embeddings compute the MMD."""
    import pandas as pd
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import mmd

    current = pd.DataFrame(samples.read(0, samples.num_rows))
    score, _, _ = mmd(bootstrap=False)(current, pd.DataFrame(samples.reference))
    return {"score": float(score)}


def _mean_kernel(one: Table, other: Table, inverse_width: float) -> float:
    """Return the mean of the Gaussian kernel over pairs, without those of a row with itself."""
    total = 0.0
    squares = np.square(other).sum(axis=1)
    for start in range(0, len(one), 2000):
        rows = one[start : start + 2000]
        apart = np.square(rows).sum(axis=1)[:, None] + squares - 2.0 * rows @ other.T
        total += float(np.exp(-0.5 * inverse_width**2 * np.maximum(apart, 0.0)).sum(dtype=np.float64))
    if one is other:
        return (total - len(one)) / (len(one) * (len(one) - 1))
    return total / (len(one) * len(other))


_IMPORTED: Final[Mapping[str, Sequence[str]]] = {
    "exact test": ["scipy.stats"],
    "evidently": ["pandas", "evidently", "evidently.presets"],
    "evidently mmd": ["pandas", "evidently.legacy.metrics.data_drift.embedding_drift_methods"],
}
CONTESTANTS: Final[Mapping[str, Callable[[Samples], Mapping[str, Any]]]] = {
    "sketches": sketch_numbers,
    "exact test": test_exactly,
    "evidently": ask_evidently,
    "fourier": sum_features,
    "exact mmd": measure_exactly,
    "evidently mmd": ask_evidently_for_mmd,
}


def main() -> None:
    """Run one contestant and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("file", type=Path)
    parser.add_argument("rows", type=int)
    asked = parser.parse_args()
    samples = Samples(asked.file, asked.rows)
    for name in _IMPORTED.get(asked.name, ()):
        import_module(name)
    found: dict[str, Any] = {}
    start = time.perf_counter(), time.process_time()
    grown = peak_memory_bytes(lambda: found.update(CONTESTANTS[asked.name](samples)))
    figures = {
        "wall_s": time.perf_counter() - start[0],
        "cpu_s": time.process_time() - start[1],
        "grown_mb": None if grown is None else grown / 1e6,
    }
    print(json.dumps({**figures, **found}))


if __name__ == "__main__":
    main()
