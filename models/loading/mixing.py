"""Which pictures each training step sees. Pure: the plan follows from its arguments alone.

The rule of replay: each batch of B pictures holds ``round(B * replay_percent / 100)`` old ones (halves
upwards, and at least one new one), so that the model does not forget what it was trained on. Both pools are
drawn without replacement until used up, then shuffled again; a picture that repeats is in the pool as often.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

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
    repeats: Mapping[str, float] | None = None,
    groups: Mapping[str, str] | None = None,
) -> list[list[str]]:
    """Return ``steps`` batches of ``batch_size`` names each; old ones come last in a batch.

    Without old names (training from scratch) every place is a new one's. The order of the arguments does
    not matter: pools are sorted first.

    >>> plan_batches(["a"], ["b", "c"], replay_percent=50, batch_size=2, steps=2, seed=0)
    [['b', 'a'], ['c', 'a']]

    Args:
        old: Names to mix in.
        new: Names to learn.
        replay_percent: 0..100.
        batch_size: Names in a batch.
        steps: Number of batches. More of them begin with the same ones.
        seed: Of the order.
        repeats: How often a name is in its pool, 1 or more; 1 where it is not named. Of 2.3, the third time
            has a chance of 0.3 in each round.
        groups: A batch holds names of one group, as far as each pool has any. What does not fit waits, and
            what has waited longest comes first. Names without a group are a group.

    Raises:
        TrainingError: if there is nothing new to train on.
        ValueError: if a name repeats less than once.
    """
    if not new:
        raise TrainingError("there is no picture to train on", hint="ingest labelled pictures first")
    if repeats and min(repeats.values()) < 1.0:
        raise ValueError("every name is drawn at least once a round")
    num_old = _replayed_per_batch(replay_percent, batch_size) if old else 0
    fresh = _Pool(new, [seed, 0], repeats or {}, groups or {})
    replayed = _Pool(old, [seed, 1], repeats or {}, groups or {})
    return [_take_batch(fresh, replayed, batch_size, num_old) for _ in range(steps)]


def _take_batch(fresh: _Pool, replayed: _Pool, batch_size: int, num_old: int) -> list[str]:
    first = fresh.take()
    group = fresh.group_of(first)
    rest = [fresh.take_of(group) for _ in range(batch_size - num_old - 1)]
    return [first, *rest, *(replayed.take_of(group) for _ in range(num_old))]


def _replayed_per_batch(replay_percent: float, batch_size: int) -> int:
    return min(math.floor(batch_size * replay_percent / 100 + 0.5), batch_size - 1)


class _Pool:
    """Names without end. Those that were drawn but did not fit wait, in the order they came."""

    def __init__(
        self, names: Sequence[str], seed: list[int], repeats: Mapping[str, float], groups: Mapping[str, str]
    ) -> None:
        self._drawn, self._groups = _endless(names, seed, repeats), groups
        self._known = {self.group_of(name) for name in names}
        self._waiting: list[str] = []

    def group_of(self, name: str) -> str:
        return self._groups.get(name, "")

    def take(self) -> str:
        return self._waiting.pop(0) if self._waiting else next(self._drawn)

    def take_of(self, group: str) -> str:
        """Return the next name of a group; of any, if the pool has none of it."""
        if group not in self._known:
            return self.take()
        for place, name in enumerate(self._waiting):
            if self.group_of(name) == group:
                return self._waiting.pop(place)
        while self.group_of(name := next(self._drawn)) != group:
            self._waiting.append(name)
        return name


def _endless(names: Sequence[str], seed: list[int], repeats: Mapping[str, float]) -> Iterator[str]:
    generator, pool = np.random.default_rng(seed), sorted(set(names))
    wanted = np.array([repeats.get(name, 1.0) for name in pool])
    whole, part = np.floor(wanted).astype(np.int64), wanted % 1.0
    while True:
        times = whole + (generator.random(len(pool)) < part) if part.any() else whole
        this_round = np.repeat(np.arange(len(pool)), times)
        yield from (pool[this_round[index]] for index in generator.permutation(len(this_round)))
