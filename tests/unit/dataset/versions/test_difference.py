"""Two data versions differ in pictures and in labels by name; no order of anything is a change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture, Split
from dataset.versions.difference import compare_versions
from maskloop.masks import encode_masks

UPPER, LOWER = encode_masks(np.array([[[True, False], [False, False]], [[False, False], [True, False]]]))
BOLT, NUT = LabelledInstance(0, UPPER), LabelledInstance(1, LOWER)
INSTANCES = st.builds(LabelledInstance, st.integers(0, 1), st.sampled_from([UPPER, LOWER]), st.booleans())
PICTURES = st.dictionaries(st.sampled_from("abcd"), st.lists(INSTANCES, max_size=3))


def picture(digest: str, *instances: LabelledInstance, split: Split = "train") -> LabelledPicture:
    return LabelledPicture(
        digest, f"images/{digest}", digest, 2, 2, "here", digest, split, "data-v1", "human", instances
    )


def version(
    tag: str, *pictures: LabelledPicture, classes: tuple[str, ...] = ("bolt", "nut")
) -> DatasetVersion:
    return DatasetVersion(tag, "f", "m", "c", classes, pictures, Path("/data"))


def test_pictures_are_added_removed_relabelled_or_the_same() -> None:
    same, gone, old = picture("same", BOLT), picture("gone", NUT), picture("other", BOLT)
    new, added = picture("other", BOLT, NUT), picture("added")
    found = compare_versions(version("v1", same, gone, old), version("v2", new, added, same))
    assert (found.old_tag, found.new_tag) == ("v1", "v2")
    assert (found.added, found.removed, found.relabelled) == ((added,), (gone,), (new,))
    assert found.instances_per_class == {"bolt": (2, 2), "nut": (1, 1)}


@pytest.mark.parametrize(
    "instances",
    [
        (NUT, replace(NUT, class_index=0)),
        (BOLT, replace(NUT, mask=UPPER)),
        (BOLT, replace(NUT, is_crowd=True)),
        (BOLT, NUT, NUT),
        (BOLT,),
    ],
    ids=["class", "mask", "crowd", "drawn twice", "one less"],
)
def test_a_picture_is_relabelled_by_any_change_of_an_instance(
    instances: tuple[LabelledInstance, ...],
) -> None:
    before, after = picture("a", BOLT, NUT), picture("a", *instances)
    assert compare_versions(version("v1", before), version("v2", after)).relabelled == (after,)


def test_another_order_of_instances_or_of_classes_is_no_relabelling() -> None:
    before = version("v1", picture("a", BOLT, NUT))
    swapped = picture("a", replace(NUT, class_index=0), replace(BOLT, class_index=1))
    found = compare_versions(before, version("v2", swapped, classes=("nut", "bolt")))
    assert found.relabelled == ()
    assert found.instances_per_class == {"bolt": (1, 1), "nut": (1, 1)}


def test_a_renamed_class_relabels_its_pictures_and_is_counted_under_both_names() -> None:
    before, after = (version(tag, picture("a", BOLT)) for tag in ("v1", "v2"))
    found = compare_versions(before, replace(after, class_names=("screw", "nut")))
    assert [one.digest for one in found.relabelled] == ["a"]
    assert list(found.instances_per_class.items()) == [("bolt", (1, 0)), ("nut", (0, 0)), ("screw", (0, 1))]


def test_crowd_regions_are_counted_apart_from_instances() -> None:
    crowd = replace(BOLT, is_crowd=True)
    found = compare_versions(
        version("v1", picture("a", crowd)), version("v2", picture("a", crowd, crowd, NUT))
    )
    assert found.instances_per_class == {"bolt": (0, 0), "nut": (0, 1)}
    assert found.crowds_per_class == {"bolt": (1, 2), "nut": (0, 0)}


@given(PICTURES, PICTURES)
def test_the_way_back_is_the_way_there_turned_around(
    one: dict[str, list[LabelledInstance]], other: dict[str, list[LabelledInstance]]
) -> None:
    old, new = (
        version(tag, *(picture(digest, *instances) for digest, instances in pictures.items()))
        for tag, pictures in (("v1", one), ("v2", other))
    )
    there, back = compare_versions(old, new), compare_versions(new, old)
    assert (there.added, there.removed) == (back.removed, back.added)
    assert {p.digest for p in there.relabelled} == {p.digest for p in back.relabelled}
    for name, (before, after) in there.instances_per_class.items():
        assert back.instances_per_class[name] == (after, before)
    nothing = compare_versions(old, old)
    assert (nothing.added, nothing.removed, nothing.relabelled) == ((), (), ())


def test_pictures_are_found_by_split_and_by_their_place_on_disk() -> None:
    first, second, third = picture("a"), picture("b", split="test"), picture("c")
    whole = version("v1", first, second, third)
    assert whole.by_split == {"train": (first, third), "val": (), "test": (second,)}
    assert whole.path(second) == Path("/data/images/b")
