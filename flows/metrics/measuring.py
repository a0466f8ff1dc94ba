"""M1 to M10: each with its target, unit, window and source, from what was gathered. Pure.

A figure that was not measured says so, and how to get it; it is never a zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flows.metrics.figure import Figure, Gathered
from flows.metrics.model_figures import (
    measure_class_iou,
    measure_drift,
    measure_false_positives,
    measure_mean_iou,
)
from flows.metrics.service_figures import (
    measure_error_rate,
    measure_gpu_load,
    measure_memory,
    measure_p50,
    measure_p95,
    measure_throughput,
)

FIGURES: Final[tuple[Callable[[Gathered], Figure], ...]] = (
    measure_p95,
    measure_p50,
    measure_throughput,
    measure_mean_iou,
    measure_class_iou,
    measure_error_rate,
    measure_gpu_load,
    measure_memory,
    measure_drift,
    measure_false_positives,
)


def measure(found: Gathered) -> tuple[Figure, ...]:
    """Return all ten, in order."""
    return tuple(make(found) for make in FIGURES)
