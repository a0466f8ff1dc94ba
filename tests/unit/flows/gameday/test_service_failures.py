"""F1: what a copy promises is a bound that the service counts answers by."""

from __future__ import annotations

import pytest

from flows.gameday.service_failures import choose_promise
from serving.telemetry.metrics import LATENCY_BOUNDS_S


@pytest.mark.parametrize(("undisturbed_s", "promised_s"), [(0.013, 0.04), (0.02, 0.06), (0.021, 0.08)])
def test_the_promise_is_three_times_the_undisturbed_latency_rounded_up_to_a_bound(
    undisturbed_s: float, promised_s: float
) -> None:
    assert choose_promise(undisturbed_s) == promised_s


def test_a_service_slower_than_every_bound_is_measured_by_the_last_one() -> None:
    assert choose_promise(3600.0) == LATENCY_BOUNDS_S[-1]
