"""Corrections as ground truth, and how both models did on the pictures of a rollout that people corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final

import numpy as np

from dataset.pictures.orientation import orient_mask
from evaluation.agreement import compare_with_truth
from evaluation.instances import GroundTruth
from monitoring.samples.corrections import Correction, CorrectionLog
from serving.rollout.pairs import Comparison, KeptPair, PairLog

_NEWEST: Final = 200
"""Older corrections are not asked about."""


def truth_of(
    correction: Correction,
    class_names: Sequence[str],
    orientation: int,
    *,
    size_px: tuple[int, int],
) -> GroundTruth:
    """Turn a correction into the ground truth of the upright picture.

    Args:
        correction: With instances, in the picture as it was stored.
        class_names: What class indices count into; a class that is none of them matches nothing.
        orientation: The picture's EXIF orientation.
        size_px: The upright picture's height and width.
    """
    instances = correction.instances or ()
    masks = tuple(orient_mask(mask, orientation) for _, mask in instances)
    index_of = {name: index for index, name in enumerate(class_names)}
    return GroundTruth(
        picture_id=correction.request_id,
        source="",
        height_px=size_px[0],
        width_px=size_px[1],
        class_indices=np.array([index_of.get(name, -1) for name, _ in instances], dtype=np.int64),
        masks=masks,
        is_crowd=np.zeros(len(masks), dtype=bool),
    )


class DropReader:
    """Reads how much worse a challenger did on corrected pictures; each pair is read and compared once.

    A call reads one number when there is no new correction. Thread-safe.
    """

    def __init__(self, corrections: CorrectionLog, pairs: PairLog) -> None:
        self._corrections, self._pairs, self._lock = corrections, pairs, Lock()
        self._cycle_id, self._num_seen, self._newest = "", 0, 0
        self._compared = set[str]()
        self._corrected: Mapping[str, Correction] = {}
        self._drops: dict[str, tuple[int, float | None]] = {}

    def read(self, cycle_id: str, comparisons: Sequence[Comparison]) -> tuple[float, ...]:
        """Return one drop for each picture that both models answered and a person corrected.

        Args:
            cycle_id: Whose rollout it is.
            comparisons: All of that rollout, in order of arrival; no fewer than in the call before.

        Returns:
            -1..1 each, the champion's agreement with the correction minus the challenger's, in order of the
            comparisons' arrival.
        """
        with self._lock:
            if cycle_id != self._cycle_id:
                self._cycle_id, self._num_seen = cycle_id, 0
                self._compared, self._drops = set(), {}
            self._compared.update(one.request_id for one in comparisons[self._num_seen :])
            self._num_seen = len(comparisons)
            self._read_corrections()
            missing = [key for key in self._corrected if key in self._compared and key not in self._drops]
            for pair in self._pairs.find(cycle_id, missing) if missing else ():
                key = pair.comparison.request_id
                self._drops[key] = (pair.comparison.sequence, _measure_drop(pair, self._corrected[key]))
            return tuple(drop for _, drop in sorted(self._drops.values()) if drop is not None)

    def _read_corrections(self) -> None:
        """Read the newest corrections if one has arrived; forget the drops of those that were replaced."""
        newest = self._corrections.newest_sequence()
        if newest == self._newest:
            return
        self._newest, before = newest, self._corrected
        said = self._corrections.newest(_NEWEST)
        self._corrected = {one.request_id: one for one in said if one.instances is not None}
        same = {key for key, one in self._corrected.items() if one == before.get(key)}
        self._drops = {key: drop for key, drop in self._drops.items() if key in same}


def _measure_drop(pair: KeptPair, correction: Correction) -> float | None:
    if pair.champion is None or pair.challenger is None:
        return None
    size_px = (pair.champion.height_px, pair.champion.width_px)
    truth = truth_of(correction, pair.class_names, pair.orientation, size_px=size_px)
    champion, challenger = (
        compare_with_truth(truth, side, score_threshold=0.0).agreement
        for side in (pair.champion, pair.challenger)
    )
    return champion - challenger
