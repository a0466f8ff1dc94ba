import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.features.table import FEATURES
from monitoring.selection.candidates import Context, find_eligible, lower_bound, rate_candidates
from monitoring.selection.class_need import rate_classes
from monitoring.signals.feature_signal import FeatureSignal
from tests.fakes.drift_data import sample_of
from tests.fakes.selection_data import kept_sample, own_pictures

OWN = own_pictures(brightness=[0.1, 0.2, 0.3, 0.4], count=[0.0, 3.0, 3.0, 4.0])


def context(*signals, needs=None):
    return Context(OWN, signals, needs or {}, min_score=0.25)


def brightness_fell():
    feature = FEATURES.find("brightness")
    assert feature is not None
    return FeatureSignal(feature, 4, 4, 0.0, 0.9, 0.0, 0.0, 0.9, 0.25, 0.05, True)


def test_a_labelled_picture_or_one_that_is_not_kept_is_not_eligible():
    samples = [kept_sample("a"), kept_sample("b"), sample_of("c")]
    assert [one.sample_id for one in find_eligible(samples, {"b"})] == ["a"]


@given(st.permutations(["a", "b", "c", "d"]))
def test_eligible_samples_are_in_one_order_however_they_came(names):
    assert [one.sample_id for one in find_eligible([kept_sample(n) for n in names], set())] == [
        "a",
        "b",
        "c",
        "d",
    ]


def test_a_picture_that_came_twice_counts_once_by_its_newest_sample():
    newest, older = kept_sample("a", scores=[0.9]), kept_sample("a", scores=[0.1])
    assert find_eligible([newest, older], set()) == [newest]


def test_how_often_nothing_is_found_is_counted_in_the_own_pictures():
    assert context().empty_share == pytest.approx((1 + 1) / (4 + 2))


def test_a_score_multiplies_drift_uncertainty_and_need():
    needs = rate_classes({"bolt": 10, "nut": 5}, {})
    sample = kept_sample("a", {"brightness": 0.15}, scores=[0.5, 1.0], classes={"bolt": 1, "nut": 1})
    (rated,) = rate_candidates([sample], context(brightness_fell(), needs=needs))
    assert rated.drift == 0.75
    assert rated.uncertainty.total == 0.5
    assert (rated.needed_class, rated.need) == ("nut", 0.5)
    assert rated.score == pytest.approx(0.75 * 0.5 * 1.5)
    assert rated.parts["score"] == pytest.approx(0.5625)


def test_half_the_lowest_threshold_is_where_doubtful_detections_begin():
    assert lower_bound(0.5) == 0.25
    assert lower_bound((0.5, 0.3)) == 0.15


def test_the_reason_names_drift_doubt_and_need_with_numbers():
    needs = rate_classes({"bolt": 10, "nut": 5}, {"nut": 0.61})
    sample = kept_sample("a", {"brightness": 0.05}, scores=[0.5, 0.99], classes={"nut": 1})
    (rated,) = rate_candidates([sample], context(brightness_fell(), needs=needs))
    assert rated.reason(context(brightness_fell(), needs=needs), ("bolt", "nut")) == (
        "the picture is darker than any of the champion's 4 held-out pictures; "
        "the champion is unsure of 1 of its 2 best finds; "
        "it shows class nut, which has 5 labelled instances and a mask IoU of 0.61 so far"
    )
