"""Whether a part of the pictures is unlike all of a reference, where no single property moves by enough.

A new camera that sends a fifth of a window moves the distribution of every property by a fifth at most. Its
pictures are told apart by several properties together: less sharpness than other pictures of such contrast.

Method: a classifier two-sample test (D. Lopez-Paz and M. Oquab, 2017). Kernel ridge regression tells current
pictures from reference ones (`classifier`). If the newcomers are few, only the highest scores tell, so the
statistic is the largest standardised excess of current pictures among the highest (as higher criticism,
D. Donoho and J. Jin, 2004). Labels are permuted, and everything that comes before them does not know the
labels, so the p-value is exact whatever the distribution.

Shape suffixes: N pooled pictures, C properties, B permutations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitoring.signals.classifier import draw_rows, hat_matrix, left_out_scores, whiten
from monitoring.signals.two_sample import permutation_p_value

_LARGEST_SHARE: Final = 1 / 3
"""Of all pictures, to be looked at for an excess; more newcomers move single properties by enough."""
_SUREST_SHARE: Final = 1 / 3
SUREST_P_VALUE: Final = 1e-4
"""What an alarm without other evidence may need: 20,000 permutations."""
_FEWEST: Final = 5


@dataclass(frozen=True)
class Newcomers:
    """What was found.

    Attributes:
        p_value: 0..1, of all pictures coming from one distribution.
        surer_p_value: The same of as many new permutations as `SUREST_P_VALUE` needs, if the first ones left
            no doubt; else ``p_value``. Exact as well, because the first ones do not enter.
        share: Of the current pictures, 0..1: an estimate from below of how many are new, plus chance.
        places: Rows of the current pictures that look new, the surest first.
        familiarity: Of the surest third, 0 or more: their like as a share of the reference, by the same share
            of the current pictures. About 0 for what the reference lacks.
    """

    p_value: float
    surer_p_value: float
    share: float
    places: tuple[int, ...]
    familiarity: float


def find_newcomers(
    reference: NDArray[np.float64], current: NDArray[np.float64], *, smallest_p_value: float, seed: int
) -> Newcomers:
    """Ask whether a part of the current pictures is unlike the reference.

    Args:
        reference: float64 (., C), finite.
        current: float64 (., C), finite.
        smallest_p_value: That must be reachable.
        seed: For lots and permutations.
    """
    rng = np.random.default_rng(seed)
    reference, rows = reference[draw_rows(len(reference), rng)], draw_rows(len(current), rng)
    current = current[rows]
    whitened_NC = whiten(np.concatenate([reference, current]))
    if not whitened_NC.shape[1] or min(len(reference), len(current)) <= _FEWEST:
        return Newcomers(1.0, 1.0, 0.0, (), 1.0)
    hat_NN = hat_matrix(whitened_NC)
    leverage_N = np.diag(hat_NN).copy()
    is_current_N = np.arange(len(hat_NN)) >= len(reference)

    def excesses(labels_BN: NDArray[np.bool_]) -> NDArray[np.float64]:
        return _largest_excess(left_out_scores(hat_NN, leverage_N, labels_BN), labels_BN)

    p_value = permutation_p_value(is_current_N, excesses, smallest_p_value=smallest_p_value, rng=rng)
    surer_p_value = p_value
    if p_value <= smallest_p_value:
        surer_p_value = permutation_p_value(is_current_N, excesses, smallest_p_value=SUREST_P_VALUE, rng=rng)
    scores_N = left_out_scores(hat_NN, leverage_N, is_current_N[np.newaxis])[0]
    order = np.argsort(-scores_N, kind="stable")
    ordered = is_current_N[order]
    gain_N = ordered.cumsum() / len(current) - (~ordered).cumsum() / len(reference)
    cut = int(gain_N.argmax())
    chosen = order[: cut + 1][ordered[: cut + 1]] - len(reference)
    surest = ordered[: max(_FEWEST, round(_SUREST_SHARE * (cut + 1)))]
    new, known = np.count_nonzero(surest) / len(current), np.count_nonzero(~surest) / len(reference)
    familiarity = float(known / new) if new else 1.0
    share = max(0.0, float(gain_N[cut]))
    return Newcomers(p_value, surer_p_value, share, tuple(rows[chosen].tolist()), familiarity)


def _largest_excess(scores_BN: NDArray[np.float64], labels_BN: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the largest standardised excess of current pictures among the highest scores, float64 (B,)."""
    order_BN = np.argsort(-scores_BN, axis=1, kind="stable")
    num = labels_BN.shape[1]
    share = float(labels_BN[0].mean())
    counts_BN = np.take_along_axis(labels_BN, order_BN, axis=1).cumsum(axis=1)
    tops_N = np.arange(1, num + 1)
    deviations_N = np.sqrt(tops_N * share * (1.0 - share) * (1.0 - tops_N / num) + 1e-9)
    excess_BN = (counts_BN - tops_N * share) / deviations_N
    return np.asarray(excess_BN[:, _FEWEST : max(_FEWEST + 1, int(_LARGEST_SHARE * num))].max(axis=1))
