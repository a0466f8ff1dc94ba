import pytest

from monitoring.features.table import EMBEDDING, FEATURES
from monitoring.selection.class_need import ClassNeed
from monitoring.selection.reasons import FarOut, tell_reason
from monitoring.selection.uncertainty import Group, Uncertainty, measure_uncertainty
from tests.fakes.selection_data import answer

SURE = Group(1, 1.0, 1.0, 1.0)


def tell(uncertainty, *, far_out=(), num_held_out=200, empty_share=0.02, needed_class="", need=None):
    return tell_reason(
        uncertainty,
        far_out=far_out,
        num_held_out=num_held_out,
        empty_share=empty_share,
        needed_class=needed_class,
        need=need,
        class_names=("bolt", "nut"),
    )


def lies_out(name, rises, share):
    feature = EMBEDDING if name == EMBEDDING.name else FEATURES.find(name)
    assert feature is not None
    return FarOut(feature, rises, share)


def groups(*own):
    return Uncertainty(0.5, groups=own, num_views=4)


@pytest.mark.parametrize(
    ("far_out", "expected"),
    [
        (
            ("yellow_blue", False, 0.995),
            "the picture is bluer than 99 % of the champion's 200 held-out pictures",
        ),
        (("noise", True, 1.0), "the picture has more noise than any of the champion's 200 held-out pictures"),
        (
            ("count of nut", False, 0.95),
            "the picture shows fewer of class nut than 95 % of the champion's 200 held-out pictures",
        ),
        (
            ("noise", None, 0.95),
            "the picture is more unusual in noise than 95 % of the champion's 200 held-out pictures",
        ),
        (
            ("embedding", True, 0.95),
            "the picture looks less familiar to the model than 95 % of the champion's 200 held-out pictures",
        ),
        (("noise", True, 0.5), "one of the pictures that the champion is least sure about"),
    ],
)
def test_a_feature_that_drifted_is_told_where_the_picture_lies_far_out(far_out, expected):
    assert tell(groups(SURE), far_out=[lies_out(*far_out)]) == expected


def test_two_features_are_told_the_farthest_first():
    far_out = [("noise", True, 0.91), ("contrast", True, 0.99), ("brightness", False, 0.95)]
    assert tell(groups(SURE), far_out=[lies_out(*one) for one in far_out]) == (
        "the picture has more contrast than 99 % and is darker than 95 % "
        "of the champion's 200 held-out pictures"
    )


def test_two_features_that_are_equally_far_out_are_compared_once():
    far_out = [lies_out("noise", True, 1.0), lies_out("brightness", False, 1.0)]
    assert tell(groups(SURE), far_out=far_out) == (
        "the picture is darker and has more noise than any of the champion's 200 held-out pictures"
    )


def test_every_feature_says_what_a_picture_with_a_low_or_a_high_value_is():
    """Of the insides of masks neither end has a meaning of its own."""
    told = [*FEATURES.features, EMBEDDING, *(one.of_class("nut") for one in FEATURES.of_classes)]
    verbs = {"is", "has", "shows", "leaves", "looks"}
    for feature in told:
        assert {feature.lower.split()[0], feature.higher.split()[0]} <= verbs
        assert (feature.lower == feature.higher) == feature.name.startswith("inside ")


def test_masks_that_differ_between_views_are_counted_by_class():
    loose = Group(1, 1.0, 0.5, 1.0)
    assert tell(groups(SURE, loose, loose)) == (
        "in altered copies of it, the champion draws 2 of 3 instances of class nut differently"
    )


def test_instances_of_several_classes_are_counted_together():
    some = [Group(0, 1.0, 1.0, 0.5), Group(1, 1.0, 1.0, 0.25)]
    assert tell(groups(SURE, *some)) == (
        "in altered copies of it, the champion finds 2 of 3 instances only sometimes"
    )


@pytest.mark.parametrize(
    ("num", "told"), [(1, "the only instance of class bolt"), (3, "all 3 instances of class bolt")]
)
def test_a_class_that_is_unsure_throughout_is_told_without_a_share(num, told):
    unsure = [Group(0, 0.5, 1.0, 1.0)] * num
    assert tell(groups(*unsure)) == f"in altered copies of it, the champion doubts the class of {told}"


def test_three_kinds_of_doubt_are_one_clause():
    doubtful = Group(0, 0.5, 0.5, 0.5)
    assert tell(groups(SURE, doubtful)) == (
        "in altered copies of it, the champion draws the only instance of class bolt differently, "
        "finds the only instance of class bolt only sometimes "
        "and doubts the class of the only instance of class bolt"
    )


def test_a_picture_in_which_nothing_is_found_says_how_unusual_that_is():
    nothing = measure_uncertainty([answer()], num_classes=2, empty_share=0.02)
    assert tell(nothing) == (
        "the champion finds nothing in it, but something in 98 % of its held-out pictures"
    )


def test_a_class_without_a_measured_iou_is_told_by_its_labels_alone():
    need = ClassNeed(need=0.9, num_labelled=1, iou=None)
    assert tell(groups(SURE), needed_class="nut", need=need) == (
        "it shows class nut, which has 1 labelled instance so far"
    )
