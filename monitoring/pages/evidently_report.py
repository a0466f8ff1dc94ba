"""Evidently's report beside our verdict: every column's distributions, to explore. Evidently's only home.

It informs and does not decide: its marks depend on the sample size. `monitoring.drift.verdict` decides.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from maskloop.errors import DataError
from maskloop.files import write_text, written_atomically
from monitoring.pages.feature_report import HTML_FILE, Row

SUMMARY_FILE: Final = "evidently.json"


@dataclass(frozen=True)
class EvidentlyReport:
    """The files that were written.

    Attributes:
        html_file: The report, one file of about 4 MB that needs no network.
        summary_file: The summary as JSON.
        p_values: Kolmogorov-Smirnov p-value by column, those of the report.
        left_out: Columns without a value on one of the sides, which Evidently cannot compare.
    """

    html_file: Path
    summary_file: Path
    p_values: Mapping[str, float]
    left_out: tuple[str, ...]


class EvidentlyReports:
    """Evidently behind its port; its first report takes some seconds more, those of importing it."""

    def write(
        self,
        reference: Sequence[Row],
        current: Sequence[Row],
        directory: Path,
        *,
        false_alarm_rate: float,
        min_drifted_features: int,
    ) -> None:
        """See `monitoring.pages.feature_report.FeatureReport`."""
        write_drift_report(
            reference,
            current,
            directory,
            false_alarm_rate=false_alarm_rate,
            min_drifted_features=min_drifted_features,
        )


def write_drift_report(
    reference: Sequence[Row],
    current: Sequence[Row],
    directory: Path,
    *,
    false_alarm_rate: float = 0.01,
    min_drifted_features: int = 2,
) -> EvidentlyReport:
    """Write Evidently's data drift report, replacing one that is there. Takes 4 to 12 s the first time.

    Args:
        reference: Features of the champion's validation pictures, one mapping a picture.
        current: Features of the window's samples.
        directory: Where `evidently.html` and `evidently.json` go; created if it is missing.
        false_alarm_rate: Evidently marks a column whose p-value is below this over the number of columns.
        min_drifted_features: Evidently speaks of data set drift from this many marked columns on.

    Raises:
        DataError: if no column has a value on both sides.
        StorageError: if the files cannot be written.
    """
    known = _columns_with_values(reference) & _columns_with_values(current)
    left_out = _columns(reference) | _columns(current)
    if not known:
        raise DataError("no feature has values on both sides, so there is nothing to report")
    preset = {
        "num_method": "ks",
        "num_threshold": false_alarm_rate / len(known),
        "drift_share": min(1.0, min_drifted_features / len(known)),
    }
    snapshot = _run(reference, current, sorted(known), preset)
    p_values = {name: _p_value(name, reference, current) for name in sorted(known)}
    html_file, summary_file = directory / HTML_FILE, directory / SUMMARY_FILE
    with written_atomically(html_file) as beside:
        snapshot.save_html(str(beside))
    report = EvidentlyReport(html_file, summary_file, p_values, tuple(sorted(left_out - known)))
    summary = {"p_values": p_values, "left_out": report.left_out, "num_current": len(current)}
    write_text(summary_file, json.dumps(summary | {"num_reference": len(reference)}, indent=2))
    return report


def _run(
    reference: Sequence[Row], current: Sequence[Row], columns: list[str], preset: Mapping[str, Any]
) -> Any:
    with _without_warnings():
        from evidently import DataDefinition, Dataset, Report
        from pandas import DataFrame

        def dataset(rows: Sequence[Row]) -> Any:
            values = [[row.get(column) for column in columns] for row in rows]
            frame = DataFrame(values, columns=columns, dtype="float64")
            return Dataset.from_pandas(frame, data_definition=DataDefinition(numerical_columns=columns))

        return Report([_preset_drawn_once()(**preset)]).run(dataset(current), dataset(reference))


@cache
def _preset_drawn_once() -> Any:
    """Return Evidently's preset without its metric for each column.

    The page shows the preset's table, which draws every column itself. Each metric draws its column too, for
    nobody: half of the time.
    """
    from evidently.presets import DataDriftPreset

    class DrawnOnce(DataDriftPreset):  # type: ignore[misc]
        def generate_metrics(self, context: Any) -> Any:
            count, *_of_columns = super().generate_metrics(context)
            return [count]

    return DrawnOnce


def _p_value(column: str, reference: Sequence[Row], current: Sequence[Row]) -> float:
    """Return what Evidently's method ``ks`` computes."""
    from scipy.stats import ks_2samp  # a service that answers has no use for SciPy

    before, after = (
        [value for row in rows if (value := row.get(column)) is not None and math.isfinite(value)]
        for rows in (reference, current)
    )
    return float(ks_2samp(before, after).pvalue)


def _columns(rows: Sequence[Row]) -> set[str]:
    return {name for row in rows for name in row}


def _columns_with_values(rows: Sequence[Row]) -> set[str]:
    return {name for row in rows for name, value in row.items() if value is not None and math.isfinite(value)}


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Evidently warns about its own use of NumPy, and about constant columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
