import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.schedule import learning_rate_at, momentum_at

SCHEDULES = ["one_cycle", "cosine", "constant"]


def _rates(schedule, steps=100, warmup=20):
    return [
        learning_rate_at(step, steps=steps, peak=2.0, warmup_steps=warmup, schedule=schedule)
        for step in range(steps)
    ]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_starts_at_a_25th_and_peaks_when_the_warm_up_ends(schedule):
    rates = _rates(schedule)
    assert rates[0] == pytest.approx(0.08)
    assert rates[20] == pytest.approx(max(rates)) == pytest.approx(2.0)
    assert rates[:21] == sorted(rates[:21])


def test_a_linear_warm_up_is_half_way_up_half_way_through():
    assert _rates("constant")[10] == pytest.approx(0.5 * (0.08 + 2.0))


def test_cosines_come_down_and_constants_stay():
    assert _rates("cosine")[60] == pytest.approx(1.0)  # half way down
    assert _rates("one_cycle")[-1] < 0.01
    assert _rates("constant")[-1] == 2.0


def test_a_warm_up_longer_than_the_run_still_leaves_time_to_come_down():
    assert _rates("one_cycle", steps=10, warmup=100)[-1] < 0.2


@given(st.sampled_from(SCHEDULES), st.integers(1, 300), st.integers(0, 300))
def test_rates_and_momenta_stay_in_their_ranges(schedule, steps, warmup):
    for step in range(steps):
        rate = learning_rate_at(step, steps=steps, peak=1.0, warmup_steps=warmup, schedule=schedule)
        momentum = momentum_at(step, steps=steps, warmup_steps=warmup, schedule=schedule)
        assert 0.0 < rate <= 1.0
        assert 0.85 <= momentum <= 0.95


def test_momentum_is_lowest_at_the_peak_of_the_cycle():
    momenta = [momentum_at(step, steps=100, warmup_steps=20, schedule="one_cycle") for step in range(100)]
    assert momenta[0] == pytest.approx(0.95)
    assert momenta[20] == pytest.approx(min(momenta)) == pytest.approx(0.85)
    assert momenta[-1] == pytest.approx(0.95, abs=1e-3)
