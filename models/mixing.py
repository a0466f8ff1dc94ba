"""Which pictures each training step sees. Pure: the plan follows from its arguments alone.

The rule of replay: each batch of B pictures holds ``round(B * replay_percent / 100)`` old ones (halves
upwards, and at least one new one), so that the model does not forget what it was trained on. Both pools are
drawn without replacement until used up, then shuffled again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from maskloop.errors import TrainingError


def plan_batches(
    old: Sequence[str],
    new: Sequence[str],
    *,
    replay_percent: float,
    batch_size: int,
    steps: int,
    seed: int,
) -> list[list[str]]:
    """Return ``steps`` batches of ``batch_size`` names each; old ones come last in a batch.

    Without old names (training from scratch) every place is a new one's. The order of the arguments does
    not matter: pools are sorted first.

    >>> plan_batches(["a"], ["b", "c"], replay_percent=50, batch_size=2, steps=2, seed=0)
    [['b', 'a'], ['c', 'a']]

    Raises:
        TrainingError: if there is nothing new to train on.
    """
    if not new:
        raise TrainingError("there is no picture to train on", hint="ingest labelled pictures first")
    num_old = _replayed_per_batch(replay_percent, batch_size) if old else 0
    fresh, replayed = _endless(new, [seed, 0]), _endless(old, [seed, 1])
    return [
        [next(fresh) for _ in range(batch_size - num_old)] + [next(replayed) for _ in range(num_old)]
        for _ in range(steps)
    ]


def _replayed_per_batch(replay_percent: float, batch_size: int) -> int:
    return min(math.floor(batch_size * replay_percent / 100 + 0.5), batch_size - 1)


def _endless(names: Sequence[str], seed: list[int]) -> Iterator[str]:
    generator, pool = np.random.default_rng(seed), sorted(set(names))
    while True:
        yield from (pool[index] for index in generator.permutation(len(pool)))
