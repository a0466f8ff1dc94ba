import pytest

from monitoring.selection.reasons import tell_reason
from monitoring.selection.uncertainty import Group, Uncertainty, measure_uncertainty
from tests.fakes.selection_data import answer

SURE = Group(1, 1.0, 1.0, 1.0)


def tell(uncertainty, *, far_out=(), num_own=200, empty_share=0.02):
    return tell_reason(
        uncertainty,
        far_out=far_out,
        num_own=num_own,
        empty_share=empty_share,
        needed_class="",
        need=None,
        class_names=("bolt", "nut"),
    )


def groups(*own):
    return Uncertainty(0.5, groups=own, num_views=4)


@pytest.mark.parametrize(
    ("far_out", "expected"),
    [
        (("noise", True, 0.995), "noise is higher than in 99 % of the champion's own pictures"),
        (("noise", False, 1.0), "noise is lower than in any of the champion's 200 own pictures"),
        (("noise", None, 0.95), "noise is more unusual than in 95 % of the champion's own pictures"),
        (
            ("embedding", None, 0.95),
            "looks less familiar to the model than 95 % of the champion's own pictures",
        ),
        (("noise", True, 0.5), "one of the least certain pictures of those that are left"),
    ],
)
def test_a_feature_that_drifted_is_told_where_the_picture_lies_far_out(far_out, expected):
    assert tell(groups(SURE), far_out=[far_out]) == expected


def test_two_features_are_told_the_farthest_first():
    far_out = [("noise", True, 0.91), ("contrast", True, 0.99), ("brightness", False, 0.95)]
    assert tell(groups(SURE), far_out=far_out) == (
        "contrast is higher than in 99 % of the champion's own pictures; "
        "brightness is lower than in 95 % of the champion's own pictures"
    )


def test_masks_that_differ_between_views_are_counted_by_class():
    loose = Group(1, 1.0, 0.5, 1.0)
    assert (
        tell(groups(SURE, loose, loose)) == "the masks of 2 of 3 instances of class nut differ between views"
    )


def test_instances_of_several_classes_are_counted_together():
    some = [Group(0, 1.0, 1.0, 0.5), Group(1, 1.0, 1.0, 0.25)]
    assert tell(groups(SURE, *some)) == "2 of 3 instances are found in some views only"


def test_an_unsure_class_is_told():
    assert tell(groups(Group(0, 0.5, 1.0, 1.0))) == "the class of 1 of 1 instance of class bolt is unsure"


def test_a_picture_in_which_nothing_is_found_says_how_unusual_that_is():
    nothing = measure_uncertainty([answer()], num_classes=2, empty_share=0.02)
    assert tell(nothing) == "nothing is found, although 98 % of the champion's own pictures hold something"
