"""A pair log in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from serving.rollout.pairs import Comparison, KeptPair


class FakePairLog:
    def __init__(self, *, keep_pictures: int = 50) -> None:
        self.keep_pictures = keep_pictures
        self.pairs: list[KeptPair] = []
        self._num_ever = 0

    def add(self, pair: KeptPair) -> bool:
        key = (pair.comparison.cycle_id, pair.comparison.request_id)
        if any((one.comparison.cycle_id, one.comparison.request_id) == key for one in self.pairs):
            return False
        self._num_ever += 1
        numbered = replace(pair.comparison, sequence=self._num_ever)
        self.pairs.append(replace(pair, comparison=numbered))
        for over in self._with_picture(pair.comparison.cycle_id)[self.keep_pictures :]:
            self.pairs[self.pairs.index(over)] = replace(over, picture=None)
        return True

    def comparisons(self, cycle_id: str, *, after: int = 0) -> Sequence[Comparison]:
        return tuple(
            one.comparison
            for one in self.pairs
            if one.comparison.cycle_id == cycle_id and one.comparison.sequence > after
        )

    def find(self, cycle_id: str, request_ids: Sequence[str]) -> Sequence[KeptPair]:
        return tuple(
            replace(one, picture=None)
            for one in self.pairs
            if one.comparison.cycle_id == cycle_id and one.comparison.request_id in request_ids
        )

    def worst(self, cycle_id: str, limit: int) -> Sequence[KeptPair]:
        return tuple(self._with_picture(cycle_id)[:limit])

    def forget(self, cycle_id: str) -> None:
        self.pairs = [one for one in self.pairs if one.comparison.cycle_id != cycle_id]

    def cycle_ids(self) -> Sequence[str]:
        return tuple(dict.fromkeys(one.comparison.cycle_id for one in self.pairs))

    def _with_picture(self, cycle_id: str) -> list[KeptPair]:
        kept = [one for one in self.pairs if one.comparison.cycle_id == cycle_id and one.picture is not None]
        return sorted(kept, key=lambda one: (-one.comparison.difference, one.comparison.sequence))
