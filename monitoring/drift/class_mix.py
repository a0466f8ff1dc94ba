"""Whether a new mix of classes explains a drift: then it is told as that, and not as a drift of everything.

Pictures with more wheels differ in colour, and their masks are smaller on average, although every wheel is as
it was. So each drifted signal is asked again with the mix taken out of it: a ridge regression on counts and
shares of the classes whose counts drifted, fitted on the champion's own pictures; of those each residual is
the one of a fit without the picture itself (A. E. Hoerl and R. W. Kennard, 1970; the leverage formula of
D. M. Allen's PRESS, 1974).

Shape suffixes: P pictures, K covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline, feature_matrix
from monitoring.drift.families import ClassVerdict
from monitoring.features.feature import COUNT_OF
from monitoring.samples.values import Sample
from monitoring.signals.feature_signal import FeatureSignal
from monitoring.signals.two_sample import ks_test

MAX_CLASSES: Final = 8
"""Whose counts changed most; more covariates would fit noise."""
_RIDGE: Final = 1e-3
_MOST_TOLD: Final = 3


def explain_by_mix(
    baseline: Baseline,
    judged_samples: Sequence[Sample],
    signals: Sequence[FeatureSignal],
    classes: Sequence[ClassVerdict],
    settings: MonitoringSettings,
) -> str:
    """Return how the mix of classes changed, in words, if that explains the whole drift; else nothing.

    It does if the count of a class drifted, no class's masks did, and fewer than ``min_drifted_features``
    signals drift still when the mix is taken out of them. The embedding cannot be asked and counts as one.

    Args:
        baseline: Of the champion.
        judged_samples: One of each scene of the window.
        signals: Of the verdict.
        classes: What was found in each class's masks.
        settings: Thresholds.
    """
    counted = [one for one in signals if one.drifted and one.name.startswith(COUNT_OF)]
    if not counted or any(one.outcome == "drift" for one in classes):
        return ""
    every = tuple(name for name in baseline.feature_names if name.startswith(COUNT_OF))
    own_PC = baseline.scene_values[:, [baseline.feature_names.index(name) for name in every]]
    current_PC = feature_matrix(judged_samples, every)
    moved = [every.index(one.name) for one in sorted(counted, key=lambda one: -one.effect)]
    own_PK, current_PK = (_covariates(counts, moved[:MAX_CLASSES]) for counts in (own_PC, current_PC))
    num_left = 0
    for signal in signals:
        if signal.drifted and signal not in counted and signal.name != "count":
            if signal.name not in baseline.feature_names:
                num_left += 1
                continue
            column = baseline.scene_values[:, baseline.feature_names.index(signal.name)]
            current = feature_matrix(judged_samples, (signal.name,))[:, 0]
            result = ks_test(*_residuals(own_PK, column, current_PK, current))
            num_left += result.p_value <= settings.false_alarm_rate and result.effect >= signal.needed_effect
    return "" if num_left >= settings.min_drifted_features else _tell(every, moved, own_PC, current_PC)


def _covariates(counts_PC: NDArray[np.float64], moved: Sequence[int]) -> NDArray[np.float64]:
    """Return 1, counts and shares of the classes that moved, float64 (P, K)."""
    shares_PC = counts_PC / np.maximum(counts_PC.sum(axis=1, keepdims=True), 1.0)
    return np.hstack([np.ones((len(counts_PC), 1)), counts_PC[:, moved], shares_PC[:, moved]])


def _residuals(
    own_PK: NDArray[np.float64],
    own_P: NDArray[np.float64],
    current_PK: NDArray[np.float64],
    current_P: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the mix does not explain of a feature, in the champion's own pictures and in the window."""
    is_own = np.isfinite(own_P) & np.isfinite(own_PK).all(axis=1)
    is_current = np.isfinite(current_P) & np.isfinite(current_PK).all(axis=1)
    fitted_PK, values_P = own_PK[is_own], own_P[is_own]
    penalty = _RIDGE * len(values_P) * np.diag([0.0, *[1.0] * (own_PK.shape[1] - 1)])
    solved = np.linalg.pinv(fitted_PK.T @ fitted_PK + penalty) @ fitted_PK.T
    weights_K = solved @ values_P
    leverage_P = np.einsum("pk,kp->p", fitted_PK, solved).clip(0.0, 0.99)
    residuals_P = (values_P - fitted_PK @ weights_K) / (1.0 - leverage_P)
    return residuals_P, current_P[is_current] - current_PK[is_current] @ weights_K


def _tell(
    names: Sequence[str],
    moved: Sequence[int],
    own_PC: NDArray[np.float64],
    current_PC: NDArray[np.float64],
) -> str:
    """Tell the classes that moved most by their shares, or by their numbers where the shares are the same."""
    numbers = [np.nanmean(one, axis=0) for one in (own_PC, current_PC)]
    shares = [100.0 * one / max(float(one.sum()), 1e-9) for one in numbers]
    changes_C = np.abs(shares[1] - shares[0])
    told = sorted(moved, key=lambda place: (-round(changes_C[place], 6), -shares[1][place]))[:_MOST_TOLD]
    what, unit, figures = "the mix of classes changed", "% of the instances", shares
    if changes_C.max() < 1.0:
        what, unit, figures = "the number of instances changed, of all classes alike", "in a picture", numbers
    changes = ", ".join(
        f"{names[place].removeprefix(COUNT_OF)} {figures[0][place]:.3g} → {figures[1][place]:.3g}"
        for place in told
    )
    return f"{what}: {changes} {unit}"
