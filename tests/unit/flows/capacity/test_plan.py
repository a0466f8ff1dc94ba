"""A plan keeps what is promised with the fewest replicas, and never costs less for more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.capacity.demand import Demand, Figures, Known
from flows.capacity.plan import CapacityPlan, count_replicas, load_of, p95_ms_of, plan_capacity
from maskloop.errors import ConfigurationError
from maskloop.settings.workspace_settings import MonitoringSettings, SamplingSettings

HUNDRED_A_SECOND = Figures(
    pictures_per_s=Known(100.0, "here", True),
    p95_ms=Known(20.0, "here", True),
    picture_bytes=Known(1e6, "here", True),
    sample_bytes=Known(1e4, "here", True),
    version_bytes=Known(1e8, "here", True),
)
demands = st.builds(
    Demand,
    pictures_per_day=st.floats(0, 1e9),
    peak_factor=st.floats(1, 20),
    p95_ms=st.floats(20.5, 5000),
    spare_replicas=st.integers(0, 3),
    gpus_per_replica=st.integers(0, 8),
    max_load=st.floats(0.05, 0.95),
    variation=st.floats(0, 4),
    replica_hour_price=st.floats(0, 10),
    gb_month_price=st.floats(0, 1),
)


def make_plan(demand: Demand, figures: Figures = HUNDRED_A_SECOND) -> CapacityPlan:
    return plan_capacity(demand, figures, MonitoringSettings(), SamplingSettings())


def test_a_plan_by_hand() -> None:
    """864,000 pictures a day are 10 a second, 30 at the peak: a load of 0.3 for one of 100 a second."""
    plan = make_plan(Demand(864_000, replica_hour_price=1.0, gb_month_price=0.1, gpus_per_replica=2))

    assert (plan.replicas_at_peak, plan.replicas, plan.replicas_on_average, plan.gpus) == (1, 2, 1, 4)
    assert plan.load_percent == pytest.approx(30.0)
    assert plan.p95_ms == pytest.approx(20 + 1000 * 0.01 / 0.7 * 1.791759, rel=1e-5)  # ln(0.3 / 0.05)
    assert plan.storage.samples == pytest.approx(20_000 * 90 * 1e4 / 1e9)  # the day's quota, for 90 days
    assert plan.storage.pictures == pytest.approx(2_000 * 1e6 / 1e9)
    assert plan.storage.after(12) == pytest.approx(18 + 2 + 12 * (0.5 + 0.4))
    assert plan.cost_a_month == pytest.approx(2 * 730 + 0.1 * 30.8)
    assert plan.cost_per_1000_pictures == pytest.approx(1000 * 1463.08 / (864_000 * 30.4))


def test_latency_may_take_more_replicas_than_throughput() -> None:
    slow, quick = make_plan(Demand(3e6, p95_ms=500)), make_plan(Demand(3e6, p95_ms=30))
    assert slow.replicas_at_peak == 2
    assert quick.replicas_at_peak > 3
    assert quick.p95_ms <= 30


def test_what_one_idle_replica_cannot_do_no_number_of_them_can() -> None:
    with pytest.raises(
        ConfigurationError, match="no number of replicas helps: 10 ms are asked for"
    ) as raised:
        make_plan(Demand(1000, p95_ms=10))
    assert HUNDRED_A_SECOND.p95_ms.source in raised.value.headline
    assert "--p95-alone-ms" in raised.value.hint


def test_figures_from_elsewhere_are_named() -> None:
    figures = replace(HUNDRED_A_SECOND, pictures_per_s=Known(100.0, "docs/results.md"))
    assert make_plan(Demand(1000)).extrapolated_from == ()
    assert make_plan(Demand(1000), figures).extrapolated_from == ("pictures_per_s",)


@given(demands)
def test_a_plan_keeps_what_was_asked_for_and_one_replica_fewer_would_not(demand: Demand) -> None:
    plan = make_plan(demand)
    rate, fewer = demand.peak_rate, plan.replicas_at_peak - 1

    assert plan.p95_ms <= demand.p95_ms
    assert plan.load_percent <= 100 * demand.max_load * (1 + 1e-9)
    if fewer:
        breaks_load = load_of(rate, fewer, HUNDRED_A_SECOND) > demand.max_load * (1 - 1e-9)
        assert breaks_load or p95_ms_of(rate, fewer, demand, HUNDRED_A_SECOND) > demand.p95_ms


@given(demands, st.floats(1, 10))
def test_more_pictures_never_take_less(demand: Demand, factor: float) -> None:
    less = make_plan(demand)
    more = make_plan(replace(demand, pictures_per_day=demand.pictures_per_day * factor))

    assert more.replicas >= less.replicas
    assert more.gpus >= less.gpus
    assert more.storage.after(12) >= less.storage.after(12)
    assert more.cost_a_month >= less.cost_a_month


@given(demands, st.floats(1, 10))
def test_a_later_promise_a_quicker_model_and_a_flatter_day_never_take_more(
    demand: Demand, factor: float
) -> None:
    asked = make_plan(demand).replicas
    quicker = replace(HUNDRED_A_SECOND, pictures_per_s=Known(100.0 * factor, "a card", True))

    assert make_plan(replace(demand, p95_ms=demand.p95_ms * factor)).replicas <= asked
    assert make_plan(demand, quicker).replicas <= asked
    assert make_plan(replace(demand, peak_factor=max(1.0, demand.peak_factor / factor))).replicas <= asked
    assert make_plan(replace(demand, variation=demand.variation / factor)).replicas <= asked


@given(demands)
def test_scaling_never_costs_more_than_running_all_replicas(demand: Demand) -> None:
    plan = make_plan(demand)
    assert plan.cost_scaled_a_month <= plan.cost_a_month
    assert plan.replicas_on_average <= plan.replicas_at_peak


def test_a_workspace_that_keeps_no_pictures_stores_none() -> None:
    kept = plan_capacity(
        Demand(1e6), HUNDRED_A_SECOND, MonitoringSettings(), SamplingSettings(keep_pictures=False, rate=0.0)
    )
    assert kept.storage.pictures == kept.storage.samples == 0.0


def test_no_load_takes_one_replica() -> None:
    assert count_replicas(Demand(0), HUNDRED_A_SECOND, 0.0) == 1
    assert make_plan(Demand(0)).cost_per_1000_pictures == 0.0
