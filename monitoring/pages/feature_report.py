"""The port of the report that shows every feature's distributions beside our verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

HTML_FILE: Final = "evidently.html"

Row = Mapping[str, float | None]
"""One picture's features by name."""


class FeatureReport(Protocol):
    """Writes such a report. It informs and does not decide."""

    def write(
        self,
        reference: Sequence[Row],
        current: Sequence[Row],
        directory: Path,
        *,
        false_alarm_rate: float,
        min_drifted_features: int,
    ) -> None:
        """Write `HTML_FILE` into a folder, replacing one that is there.

        Args:
            reference: Features of the champion's own held-out pictures.
            current: Features of the window's samples.
            directory: Created if it is missing.
            false_alarm_rate: 0..1; see `MonitoringSettings`.
            min_drifted_features: From so many drifted features on the data set has drifted.

        Raises:
            DataError: if no feature has a value on both sides.
            StorageError: if the file cannot be written.
        """
        ...
