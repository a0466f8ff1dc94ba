from benchmarks.growth.__main__ import grow_pictures, grow_versions


def test_an_approval_page_over_many_test_pictures_is_no_larger_than_over_few():
    few, many = grow_pictures([10, 100])
    assert many["page_mb"] < 1.05 * few["page_mb"]


def test_versions_are_counted_at_each_size():
    assert [figures["size"] for figures in grow_versions([1, 3])] == [1, 3]
