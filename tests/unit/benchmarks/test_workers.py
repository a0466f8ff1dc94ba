from benchmarks.workers.__main__ import arrange, describe
from benchmarks.workers.rank import Arrangement


def test_on_a_cpu_as_many_workers_as_cores_are_held_against_as_many_threads(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    found = arrange("small 128", "cpu", batch_size=8, steps=10)
    assert [(each.workers, each.threads) for each in found] == [(1, 1), (1, 2), (2, 1)]


def test_the_table_has_the_best_round_and_ratios_of_the_same_round():
    arrangements = [Arrangement("small 128", count, 1, 8, 10, "cpu") for count in (1, 2)]
    one = [{"wall_s": 20.0, "cpu_s": 20.0}, {"wall_s": 10.0, "cpu_s": 10.0}]
    two = [{"wall_s": 10.0, "cpu_s": 24.0}, {"wall_s": 8.0, "cpu_s": 16.0}]
    assert describe(arrangements, [one, two])[2:] == [
        "| small 128 | 1 x 1 | 8.00 | 0.125 | 1.00 (1.00 to 1.00) |",
        "| small 128 | 2 x 1 | 10.00 | 0.200 | 1.62 (1.44 to 1.81) |",
    ]
