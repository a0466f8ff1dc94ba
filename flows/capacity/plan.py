"""The plan: replicas, cards, storage and cost that meet a demand, from measured figures. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from flows.capacity.demand import Demand, Figures
from flows.capacity.queueing import wait_quantile_s
from maskloop.errors import ConfigurationError
from maskloop.settings.workspace_settings import MonitoringSettings, SamplingSettings

_SHARE: Final = 0.95
_HOURS_A_MONTH: Final = 730.0
_DAYS_A_MONTH: Final = 30.4


@dataclass(frozen=True)
class Storage:
    """What is kept, in GB (10**9 bytes).

    Attributes:
        samples: Rows of the sample log, once as many expire as come.
        pictures: Kept production pictures at their quota.
        data_a_month: Labelled pictures that a month adds to the data versions.
        models_a_month: Registered versions that a month adds.
    """

    samples: float
    pictures: float
    data_a_month: float
    models_a_month: float

    def after(self, months: float) -> float:
        """Return what is kept after so many months, in GB."""
        return self.samples + self.pictures + months * (self.data_a_month + self.models_a_month)


@dataclass(frozen=True)
class CapacityPlan:
    """What a demand takes.

    Attributes:
        demand: What was asked.
        figures: What it was worked out from.
        replicas_at_peak: That keep the promise at the peak.
        replicas: The same with the spare ones: what to run.
        replicas_on_average: That would do if the load were always the mean: what scaling could go down to.
        gpus: Of ``replicas``.
        load_percent: Of each replica at the peak, without the spare ones.
        p95_ms: At the peak, without the spare ones.
        storage: What is kept.
        cost_a_month: Of ``replicas`` all the time and a year's storage; 0 without prices.
        cost_scaled_a_month: The same with the fewest replicas that scaling could reach: a lower bound.
        extrapolated_from: Names of the figures that were not measured on this workspace.
    """

    demand: Demand
    figures: Figures
    replicas_at_peak: int
    replicas: int
    replicas_on_average: int
    gpus: int
    load_percent: float
    p95_ms: float
    storage: Storage
    cost_a_month: float
    cost_scaled_a_month: float
    extrapolated_from: tuple[str, ...]

    @property
    def cost_per_1000_pictures(self) -> float:
        """Of ``cost_a_month``; 0 without prices or pictures."""
        pictures = self.demand.pictures_per_day * _DAYS_A_MONTH
        return 1000.0 * self.cost_a_month / pictures if pictures else 0.0


def plan_capacity(
    demand: Demand, figures: Figures, monitoring: MonitoringSettings, sampling: SamplingSettings
) -> CapacityPlan:
    """Return the fewest replicas, and what they and the loop's files take.

    Args:
        demand: What is asked.
        figures: Of one replica.
        monitoring: How long samples are kept, and how many pictures.
        sampling: How many answers become samples.

    Raises:
        ConfigurationError: if an answer takes longer than it may while nothing else is asked.
    """
    needed_ms = figures.p95_ms.value
    if needed_ms > demand.p95_ms:
        raise ConfigurationError(
            f"no number of replicas helps: {demand.p95_ms:g} ms are asked for, and an idle replica takes "
            f"{needed_ms:.3g} ms for 95 % of its answers ({figures.p95_ms.source})",
            hint="if that was measured under load, name --p95-alone-ms; else take a smaller model "
            "(`maskloop distil`), a faster format (`maskloop export`) or a GPU, or promise less",
        )
    at_peak = count_replicas(demand, figures, demand.peak_rate)
    replicas = at_peak + demand.spare_replicas
    on_average = count_replicas(demand, figures, demand.mean_rate)
    storage = plan_storage(demand, figures, monitoring, sampling)
    of_storage = demand.gb_month_price * storage.after(12)
    of_replica = demand.replica_hour_price * _HOURS_A_MONTH
    return CapacityPlan(
        demand=demand,
        figures=figures,
        replicas_at_peak=at_peak,
        replicas=replicas,
        replicas_on_average=on_average,
        gpus=replicas * demand.gpus_per_replica,
        load_percent=100.0 * load_of(demand.peak_rate, at_peak, figures),
        p95_ms=p95_ms_of(demand.peak_rate, at_peak, demand, figures),
        storage=storage,
        cost_a_month=replicas * of_replica + of_storage,
        cost_scaled_a_month=(on_average + demand.spare_replicas) * of_replica + of_storage,
        extrapolated_from=tuple(name for name, known in figures.all().items() if not known.is_measured_here),
    )


def count_replicas(demand: Demand, figures: Figures, rate: float) -> int:
    """Return the fewest replicas that keep ``p95_ms`` and ``max_load`` at a rate in pictures per second."""
    fewest = max(1, math.ceil(rate / figures.pictures_per_s.value / demand.max_load))
    most = max(
        fewest, math.ceil(rate / figures.pictures_per_s.value / (1.0 - _SHARE))
    )  # nobody waits any more
    while fewest < most:
        middle = (fewest + most) // 2
        if p95_ms_of(rate, middle, demand, figures) <= demand.p95_ms:
            most = middle
        else:
            fewest = middle + 1
    return most


def load_of(rate: float, replicas: int, figures: Figures) -> float:
    """Return the share of the time in which each replica works."""
    return rate / replicas / figures.pictures_per_s.value


def p95_ms_of(rate: float, replicas: int, demand: Demand, figures: Figures) -> float:
    """Return what 95 % of the answers take at most: the wait, and an answer without one."""
    wait_s = wait_quantile_s(
        load_of(rate, replicas, figures),
        1.0 / figures.pictures_per_s.value,
        variation=demand.variation,
        share=_SHARE,
    )
    return 1000.0 * wait_s + figures.p95_ms.value


def plan_storage(
    demand: Demand, figures: Figures, monitoring: MonitoringSettings, sampling: SamplingSettings
) -> Storage:
    """Return what the loop keeps; the quota of kept pictures counts in full, as it is reached some day."""
    sampled_a_day = min(demand.pictures_per_day * sampling.rate, float(sampling.max_per_day))
    kept = monitoring.keep_pictures if sampling.keep_pictures and sampled_a_day else 0
    return Storage(
        samples=sampled_a_day * monitoring.retention_days * figures.sample_bytes.value / 1e9,
        pictures=kept * figures.picture_bytes.value / 1e9,
        data_a_month=demand.labels_per_month * figures.picture_bytes.value / 1e9,
        models_a_month=demand.versions_per_month * figures.version_bytes.value / 1e9,
    )
