import pytest

from flows.labelling.alarm import mean_iou


def test_the_iou_of_a_class_is_weighted_by_its_instances_in_each_source():
    rows = [
        {"source": "a", "class": "bolt", "instances": 30, "candidate": 0.8},
        {"source": "b", "class": "bolt", "instances": 10, "candidate": 0.4},
        {"source": "a", "class": "nut", "instances": 0, "candidate": None},
    ]
    assert mean_iou(rows) == {"bolt": pytest.approx((30 * 0.8 + 10 * 0.4) / 40)}
