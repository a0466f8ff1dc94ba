"""The service's own page, written by `Metrics` and read back."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily

from maskloop.errors import DataError
from serving.answers import Wanted
from serving.telemetry.metrics import Metrics
from serving.telemetry.reading import Gpu, Requests, quantile_s, read_gpus, read_service_figures
from tests.fakes.serving_world import make_served

INFINITE = math.inf


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


def test_what_the_service_counted_comes_back() -> None:
    metrics = Metrics("parts")
    metrics.serving_changed(Wanted(make_served("1")))
    for seconds in (0.03, 0.03, 0.03, 0.3):
        metrics.request_ended(status=200, cause="", version="1", seconds=seconds)
    metrics.request_ended(status=500, cause="unexpected", version="1", seconds=0.01)
    metrics.request_ended(status=415, cause="unsupported", version="", seconds=0.01)

    found = read_service_figures(metrics.render()[0].decode())

    assert found.champion == "1"
    assert found.requests == {"1": Requests(5, 1, 0), "": Requests(1, 0, 1)}
    assert found.all_requests == Requests(6, 1, 1)
    assert set(found.latency_s) == {"1"}
    assert found.latency_s["1"][-1] == (INFINITE, 5)
    assert found.began_at_s is not None
    assert 0 <= time.time() - found.began_at_s < 10_000_000
    assert [value > 2**20 for value in found.memory_bytes.values()] == [True]


def test_a_page_without_any_answer_holds_none() -> None:
    found = read_service_figures(Metrics("parts").render()[0].decode())
    assert (found.champion, found.latency_s, found.all_requests) == ("", {}, Requests())


def test_a_page_of_something_else_is_refused() -> None:
    with pytest.raises(DataError, match="no page of figures"):
        read_service_figures("<!doctype html><html><body>{hello</body></html>")


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.5, 0.1), (0.25, 0.05), (0.75, 0.15), (1.0, 0.2), (0.0, 0.0)]
)
def test_a_quantile_is_interpolated_between_the_bounds(share: float, seconds: float) -> None:
    buckets = [(0.1, 50.0), (0.2, 100.0), (INFINITE, 100.0)]
    assert quantile_s(buckets, share) == pytest.approx(seconds)


def test_a_quantile_beyond_the_last_finite_bound_is_that_bound() -> None:
    assert quantile_s([(0.1, 0.0), (INFINITE, 10.0)], 0.95) == 0.1


def test_without_answers_there_is_no_quantile() -> None:
    assert quantile_s([], 0.5) is None
    assert quantile_s([(0.1, 0.0), (INFINITE, 0.0)], 0.5) is None


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_quantiles_rise_with_their_share(numbers: list[int], one: float, other: float) -> None:
    buckets, total = [], 0
    for index, number in enumerate(numbers):
        total += number
        buckets.append((0.1 * (index + 1), float(total)))
    buckets.append((INFINITE, float(total)))
    low, high = quantile_s(buckets, min(one, other)), quantile_s(buckets, max(one, other))
    assert (low is None) == (high is None) == (total == 0)
    if low is not None and high is not None:
        assert 0 <= low <= high <= 0.1 * len(numbers)


def test_a_card_tells_what_it_can() -> None:
    used = GaugeMetricFamily("maskloop_gpu_memory_used_bytes", "", labels=["gpu"])
    load = GaugeMetricFamily("maskloop_gpu_utilisation_percent", "", labels=["gpu"])
    used.add_metric(["0"], 30.0)
    used.add_metric(["1"], 10.0)
    load.add_metric(["0"], 70.0)
    assert read_gpus([used, load]) == (Gpu("0", 70.0, 30.0, None), Gpu("1", None, 10.0, None))
