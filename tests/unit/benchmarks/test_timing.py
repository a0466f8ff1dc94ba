import numpy as np
import pytest

from benchmarks.timing import Rounds, Spread, peak_memory_bytes, take_turns


def test_everyone_runs_once_a_round_and_another_one_goes_first_each_time():
    ran = []
    contestants = {name: (lambda name=name: ran.append(name)) for name in "abc"}
    rounds = take_turns(contestants, rounds=3)
    assert "".join(ran) == "abc" + "bca" + "cab" + "abc"
    assert {name: len(seconds) for name, seconds in rounds.wall_s.items()} == {"a": 3, "b": 3, "c": 3}
    assert all(seconds >= 0 for taken in rounds.cpu_s.values() for seconds in taken)


def test_a_budget_ends_the_rounds_but_leaves_one():
    assert len(take_turns({"a": lambda: None}, rounds=5, budget_s=0.0).wall_s["a"]) == 1


def test_the_device_is_waited_for_after_each_run():
    waited = []
    take_turns({"a": lambda: None, "b": lambda: None}, rounds=2, finish=lambda: waited.append(1))
    assert len(waited) == 6


def test_ratios_are_taken_within_a_round_so_that_a_slow_round_does_not_count():
    wall = {"slow": (2.0, 20.0, 2.0), "fast": (1.0, 10.0, 1.0)}
    rounds = Rounds(wall, {"slow": (4.0, 4.0, 4.0), "fast": (1.0, 1.0, 1.0)})
    assert rounds.times_faster("fast", "slow") == Spread(2.0, 2.0, 2.0)
    assert rounds.times_faster("fast", "slow", cpu=True).median == 4.0
    assert rounds.times_faster("slow", "slow").median == 1.0


def test_one_number_is_its_own_quarters():
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_memory_is_what_was_there_at_most_though_it_was_given_back():
    few = peak_memory_bytes(lambda: None)
    if few is None:
        pytest.skip("this system does not tell a process's peak")
    much = peak_memory_bytes(lambda: np.ones(64 * 2**20, dtype=np.uint8).sum())
    assert much is not None
    assert few < 8 * 2**20 < 56 * 2**20 < much < 80 * 2**20
