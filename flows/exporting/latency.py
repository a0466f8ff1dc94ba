"""How long models take for the same pictures, in turns, so that a busy machine is busy for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psutil

from models.ports import Predictor

BATCHES: Final = (1, 8)


@dataclass(frozen=True)
class LatencyRow:
    """One model at one batch size.

    Attributes:
        runtime: ``torch``, or the export's format.
        batch: Pictures in one call.
        p50_ms: Median of a call.
        p95_ms: 95th percentile of a call.
        times_faster: Median, over the rounds, of torch's time by this one's; None without torch.
        memory_mib: What loading it and its first answers added to the process; None if not measured.
        rounds: How often it ran.
    """

    runtime: str
    batch: int
    p50_ms: float
    p95_ms: float
    times_faster: float | None
    memory_mib: float | None
    rounds: int


def measure_latency(
    predictors: Mapping[str, Predictor],
    pictures: Sequence[np.ndarray],
    *,
    rounds: int,
    memory_mib: Mapping[str, float] | None = None,
    progress: Callable[[int, int], None],
) -> list[LatencyRow]:
    """Time all models at each batch size.

    Args:
        predictors: By runtime; ``torch`` is what the others are compared with.
        pictures: One or more, uint8 (H, W, 3), RGB; a larger batch repeats them.
        rounds: Timed ones, after one that is not.
        memory_mib: What each took; see `LatencyRow`.
        progress: Called with rounds done and in all.
    """
    rows = []
    for index, size in enumerate(BATCHES):
        batch = [pictures[number % len(pictures)] for number in range(size)]
        done = index * (rounds + 1)
        seconds = _take_turns(
            {name: _call(predictor, batch) for name, predictor in predictors.items()},
            rounds,
            lambda turn, done=done: progress(done + turn, len(BATCHES) * (rounds + 1)),  # type: ignore[misc]
        )
        rows += [_row(name, size, seconds, (memory_mib or {}).get(name)) for name in seconds]
    return rows


def resident_mib() -> float:
    """Return how much memory this process holds."""
    return float(psutil.Process().memory_info().rss / 2**20)


def _call(predictor: Predictor, batch: Sequence[np.ndarray]) -> Callable[[], Any]:
    return lambda: predictor.predict(batch)


def _take_turns(
    contestants: Mapping[str, Callable[[], Any]], rounds: int, on_turn: Callable[[int], None]
) -> dict[str, list[float]]:
    """Run each once a round, each round starting with the next one, after one round untimed."""
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            start = time.perf_counter()
            contestants[name]()
            if turn:
                seconds[name].append(time.perf_counter() - start)
        on_turn(turn + 1)
    return seconds


def _row(
    name: str, batch: int, seconds: Mapping[str, Sequence[float]], memory_mib: float | None
) -> LatencyRow:
    own, torch = np.array(seconds[name]), seconds.get("torch")
    return LatencyRow(
        runtime=name,
        batch=batch,
        p50_ms=float(np.percentile(own, 50) * 1000.0),
        p95_ms=float(np.percentile(own, 95) * 1000.0),
        times_faster=float(np.median(np.array(torch) / own)) if torch else None,
        memory_mib=memory_mib,
        rounds=len(own),
    )
