"""What blocks a batch as a whole: crowds, annotations without a picture, no masks at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataset.coco.document import CocoFile
from dataset.coco.validation import Reading
from dataset.coco.whole_batch import CrowdRule, judge_classes, judge_lists, judge_orphans
from dataset.problems import DataProblem
from tests.fakes.coco_batches import annotation, coco_content
from tests.fakes.judging import codes, judge


@pytest.fixture
def content():
    """Three pictures, each with a bolt and a nut; nothing is wrong."""
    return coco_content(range(1, 4))


def with_crowds(content, category):
    for record in content["annotations"]:
        record["iscrowd"] = int(record["category_id"] in category)
    return content


def test_a_class_of_crowds_alone_blocks_the_batch_and_names_both_ways_out(content, tmp_path):
    report = judge(with_crowds(content, {2}), tmp_path)
    (blocking,) = report.blocking
    assert blocking.message.startswith("all annotations of 'nut' (3) are crowd regions")
    assert "--crowds-are-instances" in blocking.hint
    assert "--crowds-are-regions" in blocking.hint
    assert blocking.example == "picture_001.png"


def test_crowds_are_not_counted_as_instances(content, tmp_path):
    report = judge(with_crowds(content, {1, 2}), tmp_path)
    assert report.instances_per_class == (0, 0)
    assert report.crowds_per_class == (3, 3)
    (empty,) = (problem for problem in report.problems if problem.code == "class-without-instances")
    assert empty.message == "the batch has no instances of 'bolt', 'nut'"


def test_crowds_that_a_person_calls_instances_are_read_so_and_told(content, tmp_path):
    report = judge(with_crowds(content, {2}), tmp_path, reading=Reading(crowds="instances"))
    assert (report.instances_per_class, report.crowds_per_class) == ((3, 3), (0, 0))
    (told,) = report.problems
    assert (told.severity, told.code, told.example) == (
        "warning",
        "crowds-as-instances",
        "picture_001.png",
    )
    assert told.message.startswith("3 crowd regions")


def test_crowds_that_a_person_calls_crowds_stay(content, tmp_path):
    report = judge(with_crowds(content, {2}), tmp_path, reading=Reading(crowds="regions"))
    assert report.blocking == ()
    assert codes(report, "warning") == ["class-of-crowds", "class-without-instances"]
    assert report.crowds_per_class == (0, 3)


def test_crowds_beside_instances_are_a_warning_with_a_picture(content, tmp_path):
    content["annotations"][3]["iscrowd"] = 1
    (told,) = judge(content, tmp_path).problems
    assert (told.severity, told.code, told.example) == ("warning", "crowd-regions", "picture_002.png")
    assert told.message.startswith("1 crowd region beside 5 single objects")


def test_annotations_without_a_picture_block_a_batch_in_which_pictures_have_none(content, tmp_path):
    for record in content["annotations"][2:4]:
        record["image_id"] = 1002
    report = judge(content, tmp_path, reading=Reading(max_lost_percent=50))
    (blocking,) = report.blocking
    assert blocking.message == (
        "2 of 6 annotations have a picture id that no entry of images has (the first: 1002), "
        "and 1 of 3 pictures have no annotation"
    )
    assert (blocking.count, blocking.where) == (2, "/annotations/2")
    assert "go from 1 to 3" in blocking.hint


def test_ids_that_are_file_names_are_shown_beside_what_is_there(content, tmp_path):
    for record in content["annotations"]:
        record["image_id"] = f"picture_00{record['image_id']}.png"
    (blocking,) = judge(content, tmp_path).blocking
    assert "6 of 6" in blocking.message
    assert "'picture_001.png'" in blocking.message


def test_too_many_block_the_batch_though_every_picture_has_some(content, tmp_path):
    content["annotations"] += [annotation(50 + number, 99) for number in range(2)]
    assert codes(judge(content, tmp_path, reading=Reading(max_lost_percent=20)), "error") == [
        "orphan-annotation"
    ]


def test_a_few_are_a_warning_when_every_picture_has_its_annotations(content, tmp_path):
    content["annotations"] += [annotation(50, 99)]
    report = judge(content, tmp_path, reading=Reading(max_lost_percent=20))
    assert codes(report) == ["orphan-annotation"]
    assert report.blocking == ()
    assert report.num_orphans == 1


def test_annotations_of_a_picture_that_is_left_out_are_no_orphans(content, tmp_path):
    content["images"][1]["id"] = 1
    assert judge(content, tmp_path).num_orphans == 2
    content["images"][1] |= {"id": 2, "file_name": ""}
    assert judge(content, tmp_path).num_orphans == 0


def test_boxes_without_masks_block_the_batch_in_one_sentence(content, tmp_path):
    for record in content["annotations"]:
        record["segmentation"] = []
    (blocking,) = judge(content, tmp_path).blocking
    assert blocking.message == "the 6 annotations are boxes without masks"


def test_label_studios_brush_labels_that_its_export_leaves_out_are_explained(content, tmp_path):
    content |= {"annotations": [], "info": {"contributor": "Label Studio"}}
    (blocking,) = judge(content, tmp_path).blocking
    assert "brush" in blocking.hint


# --- the rules by themselves ---------------------------------------------------------------------


def coco(images: list[Any], annotations: list[Any], contributor: str = "") -> CocoFile:
    return CocoFile(Path("a.json"), tuple(images), tuple(annotations), (), contributor)


BOX, MASK = {"bbox": [0, 0, 5, 5]}, {"segmentation": [[0, 0, 5, 0, 5, 5]]}


@pytest.mark.parametrize(
    ("images", "annotations", "expected"),
    [
        ([1], [BOX, BOX | MASK], []),
        ([1], [MASK], []),
        ([1], [{}, "odd"], []),
        ([1], [BOX, "odd", {}], ["boxes-without-masks"]),
        ([1], [BOX | {"segmentation": []}], ["boxes-without-masks"]),
        ([], [MASK], ["no-pictures"]),
        ([], [], ["no-pictures", "no-annotations"]),
    ],
)
def test_lists_are_useless_without_pictures_annotations_or_any_mask(
    images: list[Any], annotations: list[Any], expected: list[str]
) -> None:
    found = list(judge_lists(coco(images, annotations)))
    assert [problem.code for problem in found] == expected
    assert all((problem.severity, problem.picture) == ("error", "") and problem.hint for problem in found)


def test_only_what_label_studio_wrote_is_told_of_its_brush_labels() -> None:
    for contributor, is_told in (("Label Studio", True), ("CVAT", False)):
        (problem,) = judge_lists(coco([1], [], contributor))
        assert ("brush labels" in problem.hint) is is_told


@pytest.mark.parametrize(
    ("num_orphans", "max_percent", "severity"),
    [(1, 25.0, "warning"), (1, 24.9, "error"), (4, 100.0, "warning"), (1, 0.0, "error")],
)
def test_a_share_of_orphans_at_its_limit_is_a_warning(
    num_orphans: int, max_percent: float, severity: str
) -> None:
    strange = [{"image_id": 9}] * num_orphans + [{"image_id": 1}] * (4 - num_orphans)
    (problem,) = judge_orphans(coco([{"id": 1}], strange), {1: ["some"]}, max_percent)
    assert (problem.severity, problem.count, problem.where) == (severity, num_orphans, "/annotations/0")


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([7, 3, "x"], "the ids of images go from 3 to 7"),
        (["b.png", "a.png"], "the ids of images are like 'a.png'"),
        ([None], "images has no usable ids"),
    ],
)
def test_an_orphan_is_shown_beside_the_ids_there_are(ids: list[Any], said: str) -> None:
    images = [{"id": one} for one in ids]
    (problem,) = judge_orphans(coco(images, [{"image_id": 99}]), {}, 100.0)
    assert said in problem.hint


def classes(
    instances: list[int], crowds: list[int], rule: CrowdRule = "ask", read_as_objects: tuple[str, ...] = ()
) -> list[DataProblem]:
    names = ["bolt", "nut", "gear"]
    return list(
        judge_classes(
            names, instances, crowds, rule=rule, crowded=["c.png", "d.png"], read_as_objects=read_as_objects
        )
    )


def test_classes_without_objects_are_named_only_where_the_batch_has_any() -> None:
    (problem,) = classes([0, 4, 0], [0, 0, 0])
    assert problem.message == "the batch has no instances of 'bolt', 'gear'"
    assert (problem.severity, problem.where) == ("warning", "/categories/bolt")
    assert classes([0, 0, 0], [0, 0, 0]) == []
    assert classes([1, 1, 1], [0, 0, 0]) == []


@pytest.mark.parametrize(("rule", "severity"), [("ask", "error"), ("regions", "warning")])
def test_a_class_of_crowds_alone_is_an_error_until_somebody_said_what_they_are(
    rule: CrowdRule, severity: str
) -> None:
    empty, alone = classes([0, 4, 2], [3, 1, 0], rule)
    assert (empty.code, alone.code) == ("class-without-instances", "class-of-crowds")
    assert (alone.severity, alone.example) == (severity, "c.png")
    assert alone.message.startswith("all annotations of 'bolt' (3) are crowd regions")


def test_crowd_regions_read_as_objects_are_counted_with_the_first_picture() -> None:
    (problem,) = classes([2, 4, 2], [0, 0, 0], "instances", ("x.png", "y.png"))
    assert (problem.code, problem.severity, problem.example) == ("crowds-as-instances", "warning", "x.png")
    assert problem.message == "2 crowd regions were read as single objects, as you said"
