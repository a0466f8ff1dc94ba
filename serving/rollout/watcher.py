"""The newest analysis of the rollout under way, kept up to date by reading only what has arrived since."""

from __future__ import annotations

from threading import Lock
from typing import Final

from maskloop.settings.slo_settings import SloSettings
from maskloop.settings.workspace_settings import RolloutSettings
from maskloop.state.loop_state import Rollout
from monitoring.samples.corrections import CorrectionLog
from serving.rollout.analysis import Analysis, analyse
from serving.rollout.checks import RolloutLimits
from serving.rollout.corrected import DropReader
from serving.rollout.pairs import PairLog, PairReader

_REANALYSE_AFTER_GROWTH: Final = 1.01
"""Run again once 1 % more pairs have arrived: the cost per second stays flat in a long rollout."""


class RolloutWatcher:
    """Analyses one rollout again and again. Thread-safe.

    Args:
        pairs: Both models' answers.
        corrections: What people said about answers.
        settings: Of the rollout.
        slo: What clients are promised.
    """

    def __init__(
        self, pairs: PairLog, corrections: CorrectionLog, settings: RolloutSettings, slo: SloSettings
    ) -> None:
        self._pairs, self._drops = PairReader(pairs), DropReader(corrections, pairs)
        self._settings, self._slo, self._lock = settings, slo, Lock()
        self._subject: tuple[object, ...] = ()
        self._latest: Analysis | None = None

    def analyse(self, rollout: Rollout) -> Analysis:
        """Judge a rollout by every comparison and correction so far.

        Raises:
            StorageError, UnavailableError: if a log cannot be read.
        """
        with self._lock:
            comparisons = self._pairs.read(rollout.cycle_id)
            drops = self._drops.read(rollout.cycle_id, comparisons)
            subject = (rollout.cycle_id, rollout.num_moves, drops)
            latest = self._latest if subject == self._subject else None
            if latest is None or len(comparisons) > latest.num_compared * _REANALYSE_AFTER_GROWTH:
                latest = analyse(
                    comparisons,
                    drops,
                    RolloutLimits.of(rollout.started),
                    self._settings,
                    self._slo,
                    num_before=rollout.moved.num_compared if rollout.moved else 0,
                )
                self._subject, self._latest = subject, latest
            return latest
