"""What came with a batch, what was kept, and what was not and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dataset.coco.document import CocoFile
from dataset.coco.listing import picture_names
from dataset.coco.validation import FoundPicture
from dataset.ingestion.balance import Balance, ClassBalance
from dataset.ingestion.plan import IngestOptions, plan_ingest
from dataset.ingestion.refusal import BatchRefusedError
from dataset.problems import DataProblem
from maskloop.settings.workspace_settings import parse_settings
from tests.fakes.coco_batches import HEIGHT_PX, WIDTH_PX, annotation, coco_content, rectangle


def found(name, *, digest=""):
    look = sum(ord(letter) << (8 * place % 56) for place, letter in enumerate(name))
    return FoundPicture(name, digest or f"digest of {name}", ".png", WIDTH_PX, HEIGHT_PX, 1, False, look)


def balance_of(content, pictures=None, *, previous=None, **said):
    """Plan a batch, accepted or refused, and return its books."""
    images, annotations = tuple(content["images"]), tuple(content["annotations"])
    coco = CocoFile(Path("a.json"), images, annotations, tuple(content["categories"]))
    pictures = {**{name: found(name) for name in picture_names(coco)}, **(pictures or {})}
    settings = parse_settings({"data": {"max_quarantined_percent": 60, "near_duplicate_distance_bits": 0}})
    try:
        plan = plan_ingest(
            coco,
            pictures,
            IngestOptions("here", **said),
            settings,
            previous=previous,
            residents=(),
            tag="data-v1",
        )
    except BatchRefusedError as refused:
        return refused.balance
    return plan.balance


def test_a_clean_batch_is_kept_whole_and_says_so():
    balance = balance_of(coco_content(range(3)))
    assert balance.sentence() == "6 annotations, all kept; 3 pictures, all kept"
    assert [(each.name, each.instances, each.crowds) for each in balance.classes] == [
        ("bolt", 3, 0),
        ("nut", 3, 0),
    ]


def test_every_way_to_get_lost_has_its_number():
    """Eleven annotations: 2 without a picture, 2 of a missing one, 3 of a copy, 1 twice; 3 are kept."""
    content = coco_content(range(4))
    content["annotations"][0]["image_id"] = content["annotations"][1]["image_id"] = 77
    for number, record in enumerate(content["annotations"][2:6]):
        record["segmentation"] = rectangle(5 + number % 2)
    content["annotations"].append({**content["annotations"][2], "id": 50})
    content["annotations"].append(annotation(51, 1, 2, segmentation=rectangle(20), iscrowd=1))
    content["annotations"].append(annotation(52, 2, 2, segmentation=rectangle(20), iscrowd=1))
    pictures = {
        "picture_001.png": found("picture_001.png", digest="same"),
        "picture_002.png": found("picture_002.png", digest="same"),
        "picture_003.png": DataProblem("error", "picture-missing", "picture_003.png", "not there"),
    }
    balance = balance_of(content, pictures)
    assert balance.num_annotations == 11
    assert balance.num_annotations_kept == 3
    assert balance.annotations_not_kept == {
        "without a picture": 2,
        "drawn twice": 1,
        "of pictures listed again": 3,
        "left out with their picture": 2,
    }
    assert balance.pictures_not_kept == {"listed again": 1, "left out": 1}
    assert (balance.num_pictures, balance.num_pictures_kept, balance.num_without_annotations) == (4, 2, 1)
    assert balance.num_crowds == 1
    assert balance.sentence() == (
        "11 annotations: 3 kept, 2 without a picture, 1 drawn twice, 3 of pictures listed again, "
        "2 left out with their picture, 1 of the kept ones as crowd regions; "
        "4 pictures: 2 kept, 1 listed again, 1 left out, 1 without annotations"
    )


def test_groups_are_told_where_pictures_share_one():
    """One of the three has a name of its own for the group, and the same look as another."""
    content = coco_content(range(4))
    for image, group in zip(content["images"], ("scene 1", "scene 1", "aisle", ""), strict=True):
        image["group"] = group
    look = found("picture_001.png").difference_hash
    alike = {"picture_002.png": replace(found("picture_002.png"), difference_hash=look)}
    balance = balance_of(content, alike)
    assert (balance.num_groups, balance.largest_group) == (2, 3)
    assert balance.sentence().endswith("; 2 groups (the largest: 3 pictures)")


@pytest.mark.parametrize(
    ("num_new", "num_relabelled", "said"),
    [
        (5, 0, "5 pictures, all kept"),
        (2, 0, "5 pictures, all kept, 2 new, 3 in the data as they are"),
        (2, 3, "5 pictures, all kept, 2 new, 3 relabelled"),
        (0, 1, "5 pictures, all kept, 1 relabelled, 4 in the data as they are"),
        (0, 0, "5 pictures, all kept, 5 in the data as they are"),
    ],
)
def test_pictures_are_told_as_new_relabelled_or_as_they_are_where_not_all_are_new(
    num_new: int, num_relabelled: int, said: str
) -> None:
    balance = Balance(7, 7, {}, 5, 5, {}, 0, num_new, num_relabelled, 5, 1, ())
    assert balance.sentence() == f"7 annotations, all kept; {said}"


def test_the_ledger_gets_every_number_and_every_reason_under_a_name_of_its_own() -> None:
    classes = (ClassBalance("bolt", 1, 2), ClassBalance("nut", 0, 1))
    balance = Balance(9, 4, {"left out": 5}, 8, 6, {"left out": 2}, 3, 6, 0, 4, 2, classes)
    assert balance.counts() == {
        "annotations": 9,
        "annotations kept": 4,
        "annotations left out": 5,
        "crowd regions kept": 3,
        "pictures": 8,
        "pictures kept": 6,
        "pictures left out": 2,
        "pictures without annotations": 3,
        "groups": 4,
        "largest group": 2,
    }


ODD_ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "image_id": st.sampled_from([0, 1, 2, 77, "1", None]),
        "category_id": st.sampled_from([1, 2, 9]),
        "segmentation": st.sampled_from([rectangle(), rectangle(20), [], [[1, 2]], rectangle(39, width=30)]),
        "iscrowd": st.sampled_from([0, 1, "?"]),
    },
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(ODD_ANNOTATIONS, min_size=6, max_size=6),
    image_changes=st.lists(
        st.sampled_from([{}, {}, {"id": 1}, {"file_name": "picture_000.png"}, {"width": 5}, {"id": None}]),
        min_size=3,
        max_size=3,
    ),
    digests=st.lists(st.sampled_from(["a", "b", "c"]), min_size=3, max_size=3),
)
def test_the_books_always_add_up(changes, image_changes, digests):
    content = coco_content(range(3))
    for record, change in zip(content["annotations"], changes, strict=True):
        record |= change
    for record, change in zip(content["images"], image_changes, strict=True):
        record |= change
    names = [f"picture_{number:03d}.png" for number in range(3)]
    pictures = {name: found(name, digest=digest) for name, digest in zip(names, digests, strict=True)}
    balance = balance_of(content, pictures, crowds="regions")
    for kept, lost, came in (
        (balance.num_annotations_kept, balance.annotations_not_kept, 6),
        (balance.num_pictures_kept, balance.pictures_not_kept, 3),
    ):
        assert kept >= 0
        assert all(number > 0 for number in lost.values())
        assert kept + sum(lost.values()) == came
    assert sum(each.instances + each.crowds for each in balance.classes) == balance.num_annotations_kept
