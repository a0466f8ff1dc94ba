"""What is asked of the service and what is known about it: the input of a capacity plan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A figure with where it comes from.

    Attributes:
        value: In the unit that the name of the field says.
        source: Where it was measured, or who said it.
        is_measured_here: On this workspace's own model and pictures. False: a plan that uses it extrapolates.
    """

    value: float
    source: str
    is_measured_here: bool = False


@dataclass(frozen=True)
class Figures:
    """What one replica can do and what things take.

    Attributes:
        pictures_per_s: Of one replica at its limit.
        p95_ms: Of an answer while nothing else is asked.
        picture_bytes: Of one picture.
        sample_bytes: Of one row of the sample log.
        version_bytes: Of one registered version with its evidence.
    """

    pictures_per_s: Known
    p95_ms: Known
    picture_bytes: Known
    sample_bytes: Known
    version_bytes: Known

    def all(self) -> dict[str, Known]:
        """Return them by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class Demand:
    """What is asked.

    Attributes:
        pictures_per_day: On a usual day.
        peak_factor: The busiest minutes as a multiple of the day's mean rate.
        p95_ms: 95 % of the answers may take so long at the peak.
        spare_replicas: May be lost at the peak without breaking that.
        gpus_per_replica: Cards that each replica takes.
        max_load: Share of the time in which a replica may work at the peak, 0 to 1.
        variation: Squared coefficient of variation of the time for a picture.
        labels_per_month: Labelled pictures that are ingested.
        versions_per_month: Models that are trained and registered.
        replica_hour_price: For one replica with its cards, in any currency.
        gb_month_price: For storage, in the same currency.
    """

    pictures_per_day: float
    peak_factor: float = 3.0
    p95_ms: float = 250.0
    spare_replicas: int = 1
    gpus_per_replica: int = 0
    max_load: float = 0.7
    variation: float = 1.0
    labels_per_month: float = 500.0
    versions_per_month: float = 4.0
    replica_hour_price: float = 0.0
    gb_month_price: float = 0.0

    @property
    def mean_rate(self) -> float:
        """Pictures per second over a day."""
        return self.pictures_per_day / 86_400.0

    @property
    def peak_rate(self) -> float:
        """Pictures per second in the busiest minutes."""
        return self.mean_rate * self.peak_factor
