"""How many scenes a window shows: pictures of one scene, or taken in a row, are not independent samples.

Two things tie samples of one source. Their looks are closer than those of unrelated pictures (hashes of near
duplicates, or hashes and embeddings together, in whatever order they came), or samples that came one after
the other are more alike than samples that came far apart. A verdict counts one sample of each scene.

Method of the second: autocorrelation in order of arrival, of every feature and of the leading components of
features and embedding, after ranks were replaced by normal scores. The samples are thinned to the smallest
spacing at which they are no more alike than independent ones would be. Variances allow for the dependence at
smaller lags (M. S. Bartlett, 1946); all statistics of one spacing are corrected together after Bonferroni.

Shape suffixes: N samples, C columns, K lags, E embedding values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.pictures.looks import near_pairs
from monitoring.drift.baseline import Baseline, feature_matrix
from monitoring.features.table import FEATURES
from monitoring.samples.values import Sample

NEAR_BITS: Final = 10
"""Frames of one scene differ in at most so many bits of the difference hash."""
MAX_CHANCE_NEIGHBOURS: Final = 0.1
"""Hashes tie samples only within a distance at which so few unrelated pictures lie around each."""
TWIN_BITS: Final = 20
"""Frames of dark, even scenes, whose hashes are mostly noise, differ in up to so many bits, and in their
embeddings by less than all but `TWIN_SHARE` of unrelated pictures."""
TWIN_SHARE: Final = 0.01
_FEWEST_VALUES: Final = 8
"""Of an embedding; one of fewer says too little of what a picture shows."""
_TOGETHER: Final = 10.0
"""Unrelated pictures near in one of both are so many times as often near in the other, at most."""
DEPENDENCE_P_VALUE: Final = 0.01
"""Samples count as dependent from this p-value on. Measured: 2 to 4 % of windows of independent pictures."""
MIN_OWN_SEQUENCE: Final = 50
"""A source with fewer samples borrows the spacing of the others, if theirs is larger."""
_MIN_LAGS: Final = 4
_MAX_MODE_SHARE: Final = 0.5
_MAX_LOOKS: Final = 500
_LEADING: Final = (1, 2, 4, 8)
_SMALLEST_SPREAD: Final = 1e-6


@dataclass(frozen=True)
class Scenes:
    """The scenes of a window.

    Attributes:
        positions: Of one sample of each scene, in the window's order.
        spacing: By source: so many samples in a row count as one.
    """

    positions: tuple[int, ...]
    spacing: dict[str, int]

    @cached_property
    def num_scenes(self) -> int:
        """The number of scenes, about."""
        return len(self.positions)


def find_scenes(samples: Sequence[Sample], baseline: Baseline) -> Scenes:
    """Choose one sample of each scene.

    Args:
        samples: In order of arrival, from either end. Clocks are not asked.
        baseline: Says which features count, and how close the looks of unrelated pictures are.
    """
    firsts = find_first_looks(samples, baseline)
    by_source: dict[str, list[int]] = {}
    for position in firsts:
        by_source.setdefault(samples[position].source, []).append(position)
    columns_NC, embeddings_NE = _measured(samples, baseline)

    def spacing_of(sequences: Sequence[Sequence[int]]) -> int:
        kept = [np.asarray(one) for one in sequences if len(one) > _MIN_LAGS]
        return independent_spacing([columns_NC[one] for one in kept], [embeddings_NE[one] for one in kept])

    short = [one for one in by_source.values() if len(one) < MIN_OWN_SEQUENCE]
    borrowed = max(spacing_of(short), spacing_of(list(by_source.values()))) if short else 1
    spacing = {
        source: borrowed if len(one) < MIN_OWN_SEQUENCE else spacing_of([one])
        for source, one in by_source.items()
    }
    chosen = [position for source, one in by_source.items() for position in one[:: spacing[source]]]
    return Scenes(tuple(sorted(chosen)), spacing)


def find_first_looks(samples: Sequence[Sample], baseline: Baseline) -> list[int]:
    """Return the positions of samples that no earlier one of their source looks like, in rising order."""
    near = _near_in_hash(samples, _near_bits(baseline, len(samples), NEAR_BITS))
    twin_bits = _near_bits(baseline, _TOGETHER * TWIN_SHARE * len(samples), TWIN_BITS)
    return _first_of_each(samples, np.concatenate([near, _near_in_both(samples, baseline, twin_bits)]))


def independent_spacing(
    columns: Sequence[NDArray[np.float64]], embeddings: Sequence[NDArray[np.float64]]
) -> int:
    """Return the smallest spacing, in samples, at which samples in a row are as good as independent.

    Args:
        columns: Of each sequence of samples, float64 (N, C), NaN where a value is missing.
        embeddings: Of the same samples, float64 (N, E), NaN in the rows without one.

    Returns:
        1 if nothing speaks against independence, at most a quarter of the longest sequence and one.
    """
    longest = max((len(one) for one in columns), default=0)
    if longest // 3 < _MIN_LAGS:
        return 1
    blocks = _blocks(columns, embeddings)
    if not blocks:
        return 1
    correlations = _Autocorrelations.of(blocks, [len(one) for one in columns])
    for spacing in range(1, longest // 4 + 1):
        if correlations.p_value(spacing, longest // 3) > DEPENDENCE_P_VALUE:
            return spacing
    return longest // 4 + 1


@dataclass(frozen=True, eq=False)
class _Autocorrelations:
    """Autocorrelations of several blocks of columns over the same sequences.

    Attributes:
        blocks: For each, float64 (K, C) by lag, without the bias that centring brings.
        sums: For each block the numbers of leading columns that are added up; none: each column alone.
        deviations: Standard deviation of one of them under independence.
    """

    blocks: tuple[NDArray[np.float64], ...]
    sums: tuple[tuple[int, ...], ...]
    deviations: NDArray[np.float64]

    @classmethod
    def of(
        cls, blocks: Sequence[tuple[list[NDArray[np.float64]], tuple[int, ...]]], sizes: Sequence[int]
    ) -> _Autocorrelations:
        lengths = np.asarray(sizes)
        pairs_KS = np.maximum(lengths[np.newaxis] - np.arange(lengths.max())[:, np.newaxis], 0)
        bias_K = (pairs_KS / lengths).sum(axis=1) / max(1, (lengths - 1).sum())
        found = []
        for sequences, _ in blocks:
            total_KC = np.zeros((int(lengths.max()), sequences[0].shape[1]))
            for one_NC in sequences:
                total_KC[: len(one_NC)] += _autocovariance(one_NC)
            found.append(total_KC / np.maximum(total_KC[0], 1e-12) + bias_K[:, np.newaxis])
        deviations = np.sqrt(pairs_KS.sum(axis=1)) / lengths.sum()
        return cls(tuple(found), tuple(leading for _, leading in blocks), deviations)

    def p_value(self, spacing: int, longest_lag: int) -> float:
        """Return the corrected p-value of samples at this spacing, and its multiples, being independent."""
        from scipy.stats import norm

        lags_K = np.arange(spacing, longest_lag + 1, spacing)
        largest, num = -np.inf, 0
        for block_KC, leading in zip(self.blocks, self.sums, strict=True):
            inflation_C = 1.0 + 2.0 * np.square(np.maximum(block_KC[1:spacing], 0.0)).sum(axis=0)
            z_KC = block_KC[lags_K] / self.deviations[lags_K, np.newaxis] / np.sqrt(inflation_C)
            num_lags = 1
            while num_lags <= len(lags_K):
                z_C = z_KC[:num_lags].sum(axis=0) / np.sqrt(num_lags)
                together = [z_C[:some].sum() / np.sqrt(min(some, len(z_C))) for some in leading]
                statistics = np.asarray(together) if leading else z_C
                largest, num = max(largest, float(statistics.max(initial=-np.inf))), num + len(statistics)
                num_lags *= 2
        return min(1.0, num * float(norm.sf(largest)))


def _blocks(
    columns: Sequence[NDArray[np.float64]], embeddings: Sequence[NDArray[np.float64]]
) -> list[tuple[list[NDArray[np.float64]], tuple[int, ...]]]:
    """Return the columns by themselves, and the leading components of columns and embeddings, by sequence."""
    edges = np.cumsum([len(one) for one in columns])[:-1]
    centred = [_without_means(one) for one in columns]
    scores_NC = _normal_scores(np.concatenate(centred))
    pooled_NE = np.concatenate([_without_means(one) for one in embeddings])
    found: list[tuple[NDArray[np.float64], tuple[int, ...]]] = [
        (scores_NC, ()),
        (_normal_scores(_leading_components(scores_NC)), _LEADING),
        (_normal_scores(_leading_components(pooled_NE)), _LEADING),
    ]
    return [(np.split(one, edges), leading) for one, leading in found if one.shape[1]]


def _measured(
    samples: Sequence[Sample], baseline: Baseline
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    columns_NC = feature_matrix(samples, [name for name in baseline.feature_names if _is_of_picture(name)])
    told = [column for column in range(columns_NC.shape[1]) if _varies(columns_NC[:, column])]
    width = baseline.embeddings.shape[1]
    embeddings_NE = np.full((len(samples), width), np.nan)
    for row, sample in enumerate(samples):
        if sample.embedding is not None and len(sample.embedding) == width:
            embeddings_NE[row] = sample.embedding
    return columns_NC[:, told], embeddings_NE


def _is_of_picture(feature_name: str) -> bool:
    """Say whether every picture has the feature: what a class's masks are like only some can tell."""
    feature = FEATURES.find(feature_name)
    return feature is None or feature.needs != "instances"


def _varies(values_N: NDArray[np.float64]) -> bool:
    """Say whether a column can tell of dependence: one that is nearly constant has no such distribution."""
    known = values_N[np.isfinite(values_N)]
    if len(known) < _MAX_MODE_SHARE * len(values_N) or not len(known):
        return False
    return bool(np.unique(known, return_counts=True)[1].max() <= _MAX_MODE_SHARE * len(known))


def _without_means(values_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre each column; what is missing becomes the mean."""
    is_known_NC = np.isfinite(values_NC)
    sums_C = np.where(is_known_NC, values_NC, 0.0).sum(axis=0)
    means_C = sums_C / np.maximum(is_known_NC.sum(axis=0), 1)
    return np.where(is_known_NC, values_NC - means_C, 0.0)


def _normal_scores(values_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import ndtri
    from scipy.stats import rankdata

    if not values_NC.size:
        return values_NC
    return np.asarray(ndtri((rankdata(values_NC, axis=0) - 0.5) / len(values_NC)), dtype=np.float64)


def _leading_components(values_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64 (N, up to 8): principal components of the columns, each scaled to unit spread first."""
    spread_C = values_NC.std(axis=0) if len(values_NC) else np.zeros(values_NC.shape[1])
    told = spread_C > 1e-9 * max(1.0, float(np.abs(values_NC).max(initial=0.0)))
    if not told.any():
        return values_NC[:, :0]
    left, sizes, _ = np.linalg.svd(values_NC[:, told] / spread_C[told], full_matrices=False)
    return np.asarray(left[:, : _LEADING[-1]][:, sizes[: _LEADING[-1]] > 1e-6 * sizes[0]], dtype=np.float64)


def _autocovariance(values_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums of lagged products, float64 (N, C), by lag."""
    centred_NC = values_NC - values_NC.mean(axis=0)
    spectrum = np.abs(np.fft.rfft(centred_NC, 2 * len(values_NC), axis=0)) ** 2
    return np.asarray(np.fft.irfft(spectrum, axis=0)[: len(values_NC)], dtype=np.float64)


def _near_bits(baseline: Baseline, num_others: float, most: int) -> int:
    """Return within how many bits hashes tie samples; -1 for never, as where a camera sees one background.

    Args:
        baseline: Says how close unrelated pictures are.
        num_others: Of which at most `MAX_CHANCE_NEIGHBOURS` unrelated ones may be so close.
        most: Bits.
    """
    looks = baseline.looks
    if len(looks) < 2:
        return -1
    if len(looks) > _MAX_LOOKS:
        looks = looks[np.random.default_rng(0).choice(len(looks), _MAX_LOOKS, replace=False)]
    distances = np.bitwise_count(looks[:, np.newaxis] ^ looks[np.newaxis])[np.triu_indices(len(looks), 1)]
    for bits in range(most, -1, -1):
        if float((distances <= bits).mean()) * num_others <= MAX_CHANCE_NEIGHBOURS:
            return bits
    return -1


def _near_in_hash(samples: Sequence[Sample], near_bits: int) -> NDArray[np.int64]:
    """Return the positions of samples whose hashes are near, int64 (P, 2)."""
    known = np.array([i for i, one in enumerate(samples) if one.difference_hash is not None], np.int64)
    looks = np.array([samples[i].difference_hash for i in known.tolist()], np.uint64)
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *near_pairs(looks, near_bits)])
    return np.asarray(known[pairs], dtype=np.int64)


def _near_in_both(samples: Sequence[Sample], baseline: Baseline, twin_bits: int) -> NDArray[np.int64]:
    """Return the positions of samples near in their embeddings and not far in their hashes, int64 (P, 2)."""
    from scipy.spatial import KDTree
    from scipy.spatial.distance import pdist

    own = baseline.scene_embeddings.astype(np.float64)
    known = np.array(
        [
            place
            for place, one in enumerate(samples)
            if one.difference_hash is not None and one.embedding and len(one.embedding) == own.shape[1]
        ],
        np.int64,
    )
    if twin_bits < 0 or len(own) < 2 or len(known) < 2:
        return np.zeros((0, 2), np.int64)
    if len(own) > _MAX_LOOKS:
        own = own[np.random.default_rng(0).choice(len(own), _MAX_LOOKS, replace=False)]
    spread = np.maximum(own.std(axis=0), _SMALLEST_SPREAD)
    apart = pdist(own / spread)
    limit = float(np.quantile(apart, TWIN_SHARE, method="lower"))
    if own.shape[1] < _FEWEST_VALUES or (apart <= limit).mean() > 2.0 * TWIN_SHARE:
        return np.zeros((0, 2), np.int64)  # unrelated pictures are as near: they tell nothing
    points = np.array([samples[place].embedding for place in known.tolist()], np.float64) / spread
    is_finite = np.isfinite(points).all(axis=1)
    known, points = known[is_finite], points[is_finite]
    pairs = known[KDTree(points).query_pairs(limit, output_type="ndarray").reshape(-1, 2)]
    looks = np.array([one.difference_hash or 0 for one in samples], np.uint64)
    differing = np.bitwise_count(looks[pairs[:, 0]] ^ looks[pairs[:, 1]])
    return np.asarray(pairs[differing <= twin_bits], dtype=np.int64)


def _first_of_each(samples: Sequence[Sample], pairs: NDArray[np.int64]) -> list[int]:
    """Return the first position of each set of samples of one source that pairs tie, directly or not."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    sources = np.array([sample.source for sample in samples])
    pairs = pairs[sources[pairs[:, 0]] == sources[pairs[:, 1]]] if len(pairs) else pairs
    ties = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(samples),) * 2)
    _, labels = connected_components(ties, directed=False)
    return sorted(np.unique(labels, return_index=True)[1].tolist())
