"""The detector on simulated production: how long until a false alarm, and until a change is seen.

Production and reference are drawn from the same pictures, each with replacement, and the detector knows only
the reference that was drawn. So the sampling error of a reference of this size is part of what is measured;
with the real reference and production drawn from it there would be none, and the result would be too good.

Shape suffixes: Q runs, T scenes, S pictures, R rows (a run and a number each), B bets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitoring.features.observation import Observed
from monitoring.sequential.bets import NUM_BETS, cell_probabilities
from monitoring.sequential.evidence import CREDIT, LONGEST_GAP, QUARTER, needed_evidence
from monitoring.sequential.scoring import Projection, Scorer

NEVER: Final = -1
_ROWS_AT_ONCE: Final = 2000


@dataclass(frozen=True, eq=False)
class Pictures:
    """Numbers that are drawn together, of the same pictures: once for the features, once for the embedding.

    Attributes:
        usual: float64 (S, D), NaN where one is missing.
        changed: float64 (S', D), after a change.
    """

    usual: NDArray[np.float64]
    changed: NDArray[np.float64]


def make_groups(scorer: Scorer, usual: Sequence[Observed], changed: Sequence[Observed]) -> list[Pictures]:
    """Measure pictures as the detector does; embeddings that its fit has seen are not among them.

    Args:
        scorer: Of a reference made of the usual pictures.
        usual: S pictures of the reference, one of each scene.
        changed: Changed pictures. If there are as many, the n-th is the n-th one changed.
    """
    num = len(scorer.features)
    before, after = scorer.measure(usual), scorer.measure(changed)
    groups = [Pictures(before[:, :num], after[:, :num])]
    if scorer.projection is not None:
        width = len(scorer.projection.centre)
        is_new, is_counted = (_is_new(seen, scorer.projection, width) for seen in (usual, changed))
        if len(usual) == len(changed):  # the change of a picture that the fit has seen
            is_counted &= is_new
        groups.append(Pictures(before[is_new][:, num:], after[is_counted][:, num:]))
    return [group for group in groups if group.usual.shape[1]]


def simulate_runs(
    groups: Sequence[Pictures],
    *,
    num_runs: int,
    num_scenes: int,
    changes_at: int,
    changed_share: float,
    scenes_per_day: float,
    max_per_quarter: float,
    seed: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> NDArray[np.int64]:
    """Return, of each run, after how many scenes the first alarm came, int64 (Q,); `NEVER` without one.

    Args:
        groups: See `make_groups`.
        num_runs: Q, each with a reference of its own.
        num_scenes: Of each run.
        changes_at: Scenes before the change.
        changed_share: 0..1, of the scenes after it that are changed.
        scenes_per_day: Evenly spread.
        max_per_quarter: The budget.
        seed: The same one gives the same runs.
        progress: Is told how many runs are done.
    """
    num_numbers = sum(group.usual.shape[1] for group in groups)
    needed = needed_evidence(max_per_quarter, num_numbers)
    gap = min(timedelta(days=1.0 / scenes_per_day), LONGEST_GAP) / QUARTER
    at_once = max(1, _ROWS_AT_ONCE // max(1, num_numbers))
    found = []
    for first in range(0, num_runs, at_once):
        num = min(at_once, num_runs - first)
        rng = np.random.default_rng([seed, first])
        is_changed_QT = np.zeros((num, num_scenes), np.bool_)
        is_changed_QT[:, changes_at:] = rng.random((num, num_scenes - changes_at)) < changed_share
        drawn = [_draw_cells(group, is_changed_QT, rng) for group in groups]
        sizes_R = np.concatenate([sizes for sizes, _ in drawn])
        cells_TR = np.concatenate([cells for _, cells in drawn], axis=1)
        alarm_R = _first_alarms(sizes_R, cells_TR, gap=gap, needed=needed)
        alarm_QR = np.where(alarm_R == NEVER, num_scenes + 1, alarm_R).reshape(-1, num).T
        earliest_Q = alarm_QR.min(axis=1)
        found.append(np.where(earliest_Q > num_scenes, NEVER, earliest_Q))
        progress(first + num, num_runs)
    return np.concatenate(found)


def _is_new(seen: Sequence[Observed], projection: Projection, width: int) -> NDArray[np.bool_]:
    """Say whose embeddings there are and the fit has not seen, bool (N,)."""
    found = np.zeros(len(seen), np.bool_)
    for row, one in enumerate(seen):
        if one.embedding is not None and len(one.embedding) == width:
            found[row] = not projection.has_seen(np.asarray([one.embedding], np.float64))[0]
    return found


def _draw_cells(
    group: Pictures, is_changed_QT: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Draw references and production.

    Returns:
        Reference sizes, (R,), and cells, (T, R): the runs of the first number, of the second, and so on.
    """
    num_runs, num_scenes = is_changed_QT.shape
    num_usual, num_changed = len(group.usual), len(group.changed)
    reference_QS = rng.integers(num_usual, size=(num_runs, num_usual))
    scenes_QT = rng.integers(num_usual, size=(num_runs, num_scenes))
    others_QT = num_usual + rng.integers(max(1, num_changed), size=(num_runs, num_scenes))
    scenes_QT = np.where(is_changed_QT, others_QT, scenes_QT)
    sizes, cells = [], []
    for number in range(group.usual.shape[1]):
        values = np.concatenate([group.usual[:, number], group.changed[:, number]])
        _, order = np.unique(values, return_inverse=True, equal_nan=True)
        keys = np.where(np.isfinite(values), order, np.inf)
        reference_keys = np.sort(keys[reference_QS] + rng.random(reference_QS.shape), axis=1)
        scene_keys = keys[scenes_QT] + rng.random(scenes_QT.shape)
        num_known_Q = np.isfinite(reference_keys).sum(axis=1)
        found = np.empty((num_runs, num_scenes), np.int16)
        for run in range(num_runs):
            found[run] = np.searchsorted(reference_keys[run, : num_known_Q[run]], scene_keys[run])
        found[~np.isfinite(scene_keys)] = -1
        sizes.append(num_known_Q)
        cells.append(found.T)
    return np.concatenate(sizes), np.concatenate(cells, axis=1)


def _first_alarms(
    sizes_R: NDArray[np.int64], cells_TR: NDArray[np.int16], *, gap: float, needed: float
) -> NDArray[np.int64]:
    """Run each row's detector, as `evidence.add_scene` does; return the scene of its alarm, or `NEVER`."""
    num_rows, num_cells = len(sizes_R), int(sizes_R.max()) + 1
    tables = np.ones((num_rows, num_cells, NUM_BETS))
    for row, size in enumerate(sizes_R.tolist()):
        tables[row, : size + 1] = cell_probabilities(size)
    flat_tables = tables.reshape(-1, NUM_BETS)
    counts = np.ones(num_rows * num_cells)
    offsets_R = np.arange(num_rows) * num_cells
    values_RB = np.full((num_rows, NUM_BETS), CREDIT / 2.0)
    totals_R = (sizes_R + 1).astype(np.float64)
    alarm_R = np.full(num_rows, NEVER)
    has_gaps = bool((cells_TR < 0).any())
    for scene, cells_R in enumerate(cells_TR):
        places_R = offsets_R + cells_R
        values_RB += gap
        if has_gaps:
            is_there_R = cells_R >= 0
            places_R = np.where(is_there_R, places_R, offsets_R)
            factors = np.where(is_there_R, totals_R / counts[places_R], 1.0)
            values_RB *= (
                np.where(is_there_R[:, np.newaxis], flat_tables[places_R], 1.0) * factors[:, np.newaxis]
            )
            counts[places_R[is_there_R]] += 1.0
            totals_R += is_there_R
        else:
            values_RB *= flat_tables[places_R]
            values_RB *= (totals_R / counts[places_R])[:, np.newaxis]
            counts[places_R] += 1.0
            totals_R += 1.0
        is_over_R = values_RB.sum(axis=1) >= needed * NUM_BETS
        if is_over_R.any():
            alarm_R[is_over_R & (alarm_R == NEVER)] = scene + 1
            values_RB[is_over_R] = 0.0  # only its first alarm counts
    return alarm_R
