"""Classes are dropped, renamed and merged by name; every instance that stays keeps its mask."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.ingestion.class_changes import ClassChange, plan_class_change
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from dataset.versions.catalog import Catalog
from maskloop.errors import DataError, NotFoundError
from maskloop.masks import encode_masks

NAMES = ("parts", "bolt", "nut", "mutter")


def mask(row):
    plane = np.zeros((1, 6, 4), dtype=bool)
    plane[0, row, 1:3] = True
    return encode_masks(plane)[0]


def picture(number, *indices):
    instances = tuple(LabelledInstance(index, mask(row)) for row, index in enumerate(indices))
    digest = f"{number:064x}"
    return LabelledPicture(
        digest, f"{digest}.png", f"{number}.png", 4, 6, "here", digest, "train", "data-v1", "human", instances
    )


def catalog(*pictures):
    return Catalog(NAMES, pictures, {one.digest: 0 for one in pictures})


def named(found):
    return [
        [(found.class_names[one.class_index], one.mask) for one in picture.instances]
        for picture in found.pictures
    ]


def test_an_unused_class_is_dropped_without_losing_anything():
    before = catalog(picture(1, 1, 2), picture(2, 3))
    plan = plan_class_change(before, ClassChange(drops=("parts",)))
    assert plan.catalog.class_names == ("bolt", "nut", "mutter")
    assert named(plan.catalog) == named(before)
    assert (plan.lost, plan.num_lost, plan.num_pictures_losing) == ({"parts": 0}, 0, 0)


def test_what_a_dropped_class_takes_with_it_is_counted_first():
    plan = plan_class_change(
        catalog(picture(1, 1, 2), picture(2, 2, 2), picture(3, 1)), ClassChange(drops=("nut",))
    )
    assert (plan.lost, plan.num_pictures_losing, plan.num_emptied) == ({"nut": 3}, 2, 1)
    assert [len(one.instances) for one in plan.catalog.pictures] == [1, 0, 1]


def test_merging_and_renaming_at_once_ends_in_the_new_name():
    plan = plan_class_change(
        catalog(picture(1, 2, 3)), ClassChange(renames=(("nut", "hex nut"),), merges=(("mutter", "nut"),))
    )
    assert plan.catalog.class_names == ("parts", "bolt", "hex nut")
    assert [name for name, _ in named(plan.catalog)[0]] == ["hex nut", "hex nut"]


def test_an_object_labelled_in_both_merged_classes_is_kept_once():
    twice = picture(1, 2)
    twice = LabelledPicture(**{**{f: getattr(twice, f) for f in LabelledPicture.__slots__}, "instances": (
        LabelledInstance(2, mask(0)), LabelledInstance(3, mask(0)),
    )})  # fmt: skip
    plan = plan_class_change(catalog(twice), ClassChange(merges=(("mutter", "nut"),)))
    assert len(plan.catalog.pictures[0].instances) == 1


def test_two_classes_can_swap_their_names():
    plan = plan_class_change(
        catalog(picture(1, 1, 2)), ClassChange(renames=(("bolt", "nut"), ("nut", "bolt")))
    )
    assert [name for name, _ in named(plan.catalog)[0]] == ["nut", "bolt"]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (ClassChange(drops=("gear",)), NotFoundError, "no class 'gear'"),
        (ClassChange(merges=(("bolt", "gear"),)), NotFoundError, "no class 'gear'"),
        (ClassChange(drops=("bolt",), renames=(("bolt", "x"),)), DataError, "two things are asked"),
        (ClassChange(renames=(("bolt", "nut"),)), DataError, "2 classes called 'nut'"),
        (ClassChange(renames=(("bolt", " "),)), DataError, "needs a name"),
        (ClassChange(renames=(("bolt", "bolt "),)), DataError, "has that name already"),
        (ClassChange(drops=("nut",), merges=(("bolt", "nut"),)), DataError, "which leaves itself"),
        (ClassChange(merges=(("bolt", "nut"), ("nut", "bolt"))), DataError, "which leaves itself"),
        (ClassChange(drops=NAMES), DataError, "no class would be left"),
    ],
)  # fmt: skip
def test_a_wish_that_makes_no_sense_is_refused(change, error, said):
    with pytest.raises(error, match=said):
        plan_class_change(catalog(picture(1, 1)), change)


@given(
    labels=st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=4),
    dropped=st.sets(st.sampled_from(NAMES), max_size=2),
    data=st.data(),
)
def test_every_instance_leaves_with_its_class_or_stays_with_its_mask(labels, dropped, data):
    kept = [name for name in NAMES if name not in dropped]
    source, into = data.draw(st.permutations(kept))[:2]
    before = catalog(*(picture(number, *indices) for number, indices in enumerate(labels)))
    change = ClassChange(tuple(sorted(dropped)), ((into, "new"),), ((source, into),))
    plan = plan_class_change(before, change)
    called = {**{name: name for name in kept}, source: "new", into: "new"}
    expected = [[(called[name], one) for name, one in each if name in called] for each in named(before)]
    assert named(plan.catalog) == expected
    counts = Counter(name for each in named(before) for name, _ in each)
    assert plan.lost == {name: counts[name] for name in sorted(dropped)}
    assert set(plan.catalog.class_names) == {called[name] for name in kept}
