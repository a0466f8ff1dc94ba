import numpy as np

from benchmarks.growth.__main__ import grow_pictures
from benchmarks.growth.loop import WINDOW, fill_log, grow_near_duplicates, grow_replay, grow_verdict
from monitoring.samples.sample_log import SqlSampleLog


def test_an_approval_page_over_many_test_pictures_is_no_larger_than_over_few():
    few, many = grow_pictures([10, 100])
    assert many["page_mb"] < 1.05 * few["page_mb"]


def test_what_the_loop_repeats_is_measured_at_each_size():
    for grow in (grow_replay, grow_near_duplicates, grow_verdict):
        few, many = grow([220, 260])
        assert (few.pop("size"), many.pop("size")) == (220, 260)
        assert few.keys() == many.keys()
        assert all(seconds >= 0.0 for seconds in [*few.values(), *many.values()])


def test_a_drawn_log_has_one_window_to_judge(tmp_path):
    log = SqlSampleLog(tmp_path, keep_pictures=0)
    fill_log(log, WINDOW + 30, np.random.default_rng(0))
    assert len(log.newest(10 * WINDOW, pending_only=True)) == WINDOW
    assert log.counts().received == WINDOW + 30
    log.close()
