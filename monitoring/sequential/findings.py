"""What a simulation found: the stated budget beside the measured one, and the delay of each change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskloop.wording import count
from monitoring.sequential.evidence import CREDIT, QUARTER
from monitoring.sequential.policy import Quarter
from monitoring.sequential.simulation import NEVER


@dataclass(frozen=True)
class Delay:
    """How long it takes until one change is seen.

    Attributes:
        name: Of the change.
        num_runs: That had no false alarm before the change.
        seen_percent: Of these, in which the change was seen at all.
        median_scenes: Until then, after the change; None if half of the runs did not see it.
        slow_scenes: In the slowest tenth, the same.
        median_days: At the simulated rate.
    """

    name: str
    num_runs: int
    seen_percent: float
    median_scenes: float | None
    slow_scenes: float | None
    median_days: float | None

    def as_row(self) -> dict[str, Any]:
        """Lay it out as a table's row."""
        return {
            "change": self.name,
            "seen": f"{self.seen_percent:.0f} %",
            "scenes, median": _write(self.median_scenes),
            "scenes, 90 %": _write(self.slow_scenes),
            "days, median": None if self.median_days is None else f"{self.median_days:.2g}",
        }


@dataclass(frozen=True)
class Simulation:
    """What was found.

    Attributes:
        max_per_quarter: The stated budget: false alarms a quarter, on average over time.
        num_pictures: The champion's own, of which references and production were drawn.
        num_numbers: Watched beside each other.
        scenes_per_day: That were simulated.
        measured_scenes_per_day: In production; None before that is known.
        quarters: Without a change.
        alarm_days: Of every simulated run, when its false alarm came; None without one.
        delays: Of each change.
        training_hours: Of each retraining, as in the ledger.
        horizon_scenes: A change that is not seen within so many counts as not seen.
        remarks: What could not be simulated, in sentences.
    """

    max_per_quarter: float
    num_pictures: int
    num_numbers: int
    scenes_per_day: float
    measured_scenes_per_day: float | None
    quarters: tuple[Quarter, ...]
    alarm_days: tuple[float | None, ...]
    delays: tuple[Delay, ...]
    training_hours: float
    horizon_scenes: int
    remarks: tuple[str, ...] = ()

    @property
    def num_with_alarm(self) -> int:
        """Quarters with a false alarm."""
        return sum(quarter.num_alarms > 0 for quarter in self.quarters)

    @property
    def alarms_per_quarter(self) -> float:
        """The measured mean."""
        return sum(quarter.num_alarms for quarter in self.quarters) / len(self.quarters)

    @property
    def retrainings_per_quarter(self) -> float:
        """The measured mean of false retrainings."""
        return sum(quarter.num_retrainings for quarter in self.quarters) / len(self.quarters)

    @property
    def stated_percent(self) -> float:
        """The bound on quarters with a false alarm that begin with a new champion, 0..100."""
        return min(100.0, 50.0 * self.max_per_quarter * (1.0 + CREDIT))

    @property
    def band(self) -> tuple[float, float]:
        """The 95 % interval of the percentage of quarters with a false alarm (Clopper and Pearson, 1934)."""
        from scipy.stats import beta

        num, total = self.num_with_alarm, len(self.quarters)
        low = float(beta.ppf(0.025, num, total - num + 1)) if num else 0.0
        high = float(beta.ppf(0.975, num + 1, total - num)) if num < total else 1.0
        return 100.0 * low, 100.0 * high

    @property
    def is_kept(self) -> bool:
        """Whether the measured rates are at most the stated ones."""
        return self.band[0] <= self.stated_percent and self.alarms_per_quarter <= self.max_per_quarter

    def sentences(self) -> list[str]:
        """Say it in plain words."""
        low, high = self.band
        share = 100.0 * self.num_with_alarm / len(self.quarters)
        verdict = "kept" if self.is_kept else "NOT KEPT"
        return [
            f"{count(len(self.quarters), 'quarter')} without a change: {self.alarms_per_quarter:.2f} false"
            f" alarms a quarter, stated at most {self.max_per_quarter:g} ({verdict})",
            f"{share:.1f} % of quarters have one (95 % interval {low:.1f} to {high:.1f} %), stated at most"
            f" {self.stated_percent:.0f} %",
            f"{self.retrainings_per_quarter:.2f} false retrainings a quarter, of {self.training_hours:.2g} h"
            " each, if the windows confirmed each alarm",
            *self.remarks,
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "stated": {"per_quarter": self.max_per_quarter, "percent_of_quarters": self.stated_percent},
            "measured": {
                "per_quarter": self.alarms_per_quarter,
                "percent_of_quarters": 100.0 * self.num_with_alarm / len(self.quarters),
                "interval_95_percent": self.band,
                "retrainings_per_quarter": self.retrainings_per_quarter,
                "waited_days": sum(quarter.waited_days for quarter in self.quarters),
            },
            "is_kept": self.is_kept,
            "num_quarters": len(self.quarters),
            "num_pictures": self.num_pictures,
            "num_numbers": self.num_numbers,
            "scenes_per_day": self.scenes_per_day,
            "measured_scenes_per_day": self.measured_scenes_per_day,
            "training_hours": self.training_hours,
            "delays": [asdict(delay) for delay in self.delays],
            "remarks": list(self.remarks),
        }


def as_days(first_alarms: NDArray[np.int64], scenes_per_day: float) -> tuple[float | None, ...]:
    """Return when the alarm of each run, int64 (Q,), came, in days; None where it never did."""
    return tuple(None if one == NEVER else one / scenes_per_day for one in first_alarms.tolist())


def measure_delay(
    name: str, first_alarms: NDArray[np.int64], *, changes_at: int, scenes_per_day: float
) -> Delay:
    """Sum up the runs of one change.

    Args:
        name: Of the change.
        first_alarms: int64 (Q,), as `simulate_runs` returns them.
        changes_at: Scenes before the change.
        scenes_per_day: That were simulated.
    """
    counted = first_alarms[(first_alarms == NEVER) | (first_alarms > changes_at)]
    scenes = np.sort(np.where(counted == NEVER, np.inf, counted - changes_at))
    quantiles: Sequence[float | None] = [_quantile(scenes, share) for share in (0.5, 0.9)]
    median = quantiles[0]
    seen = float(np.isfinite(scenes).mean()) if len(scenes) else 0.0
    days = None if median is None else median / scenes_per_day
    return Delay(name, len(scenes), 100.0 * seen, quantiles[0], quantiles[1], days)


def quarter_days() -> float:
    """Return the length of a quarter."""
    return QUARTER.total_seconds() / 86400.0


def _quantile(rising: NDArray[np.float64], share: float) -> float | None:
    if not len(rising):
        return None
    value = float(rising[min(len(rising) - 1, int(share * len(rising)))])
    return value if np.isfinite(value) else None


def _write(scenes: float | None) -> str | None:
    return None if scenes is None else f"{scenes:.0f}"
