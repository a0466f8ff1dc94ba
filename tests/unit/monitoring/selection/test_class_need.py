import pytest

from monitoring.selection.class_need import most_needed, rate_classes


def test_need_is_what_labels_and_iou_lack_beside_the_best_class():
    needs = rate_classes({"bolt": 100, "nut": 25, "gear": 100}, {"bolt": 0.8, "nut": 0.8, "gear": 0.6})
    assert needs["bolt"].need == 0.0
    assert needs["nut"].need == pytest.approx(1 - 0.25)
    assert needs["gear"].need == pytest.approx(1 - 0.6 / 0.8)


def test_a_class_without_labels_needs_them_most():
    assert rate_classes({"bolt": 10, "gear": 0}, {})["gear"].need == 1.0


def test_without_any_labels_no_class_needs_more_than_another():
    assert {one.need for one in rate_classes({"bolt": 0, "nut": 0}, {}).values()} == {0.0}


def test_of_the_classes_in_a_picture_the_neediest_counts():
    needs = rate_classes({"bolt": 10, "nut": 5, "gear": 1}, {})
    assert most_needed({"bolt": 3, "nut": 1, "gear": 0}, needs) == "nut"
    assert most_needed({"washer": 1}, needs) == ""
