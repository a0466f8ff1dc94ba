"""The entries of a COCO file are matched by id; what cannot be matched is told, once and with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataset.coco.document import CocoFile
from dataset.coco.listing import group_annotations, list_pictures, picture_names
from dataset.problems import DataProblem


def coco(*images: Any, annotations: tuple[Any, ...] = ()) -> CocoFile:
    return CocoFile(Path("coco.json"), images, annotations, ())


def entry(key: Any, name: Any) -> dict[str, Any]:
    return {"id": key, "file_name": name}


def of_picture(image_id: Any, own_id: Any) -> dict[str, Any]:
    return {"image_id": image_id, "id": own_id}


def told(problems: list[DataProblem]) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.code, problem.where) for problem in problems]


def test_names_are_told_once_and_in_the_order_of_the_file() -> None:
    names = picture_names(coco(entry(2, "b"), entry(1, "a"), entry(3, "b"), {"id": 4}, entry(5, 6), "x"))
    assert names == ("b", "a")


def test_entries_keep_their_place_in_the_file_when_one_before_them_is_useless() -> None:
    problems: list[DataProblem] = []
    listed = list_pictures(coco("nothing", entry(8, "a.png")), problems)
    assert [(one.where, one.key, one.name) for one in listed] == [("/images/1", 8, "a.png")]
    assert told(problems) == [("error", "bad-picture-entry", "/images/0")]


@pytest.mark.parametrize(
    ("record", "picture"),
    [
        (entry(None, "a.png"), "a.png"),
        (entry(True, "a.png"), "a.png"),
        (entry(1, ""), "/images/0"),
        (entry(1, 7), "/images/0"),
        ({}, "/images/0"),
        (None, "/images/0"),
    ],
)
def test_an_entry_without_id_or_name_costs_the_picture_it_names_or_itself(record: Any, picture: str) -> None:
    problems: list[DataProblem] = []
    assert list_pictures(coco(record), problems) == []
    assert [problem.picture for problem in problems] == [picture]


def test_ids_as_text_are_told_with_the_picture_and_numbers_are_not() -> None:
    problems: list[DataProblem] = []
    listed = list_pictures(coco(entry("1", "a"), entry(2, "b"), entry("x", "c")), problems)
    assert [one.key for one in listed] == [1, 2, "x"]
    assert told(problems) == [("info", "text-id", "/images/0"), ("info", "text-id", "/images/2")]
    assert [problem.example for problem in problems] == ["a", "c"]


def test_an_id_used_by_several_entries_costs_all_of_them_and_no_other() -> None:
    problems: list[DataProblem] = []
    entries = (entry(1, "a"), entry(2, "b"), entry("1", "c"), entry(3, "d"), entry(3.0, "e"), entry(3, "f"))
    assert [one.name for one in list_pictures(coco(*entries), problems)] == ["b"]
    twice = [problem for problem in problems if problem.severity == "error"]
    assert [(one.code, one.picture) for one in twice] == [("picture-id-twice", name) for name in "acdef"]
    assert twice[0].message == "picture id 1 is used 2 times: whose annotations are they?"
    assert twice[-1].message == "picture id 3 is used 3 times: whose annotations are they?"


def test_a_file_listed_under_several_ids_costs_it_and_says_how_often() -> None:
    problems: list[DataProblem] = []
    listed = list_pictures(coco(entry(1, "a"), entry(2, "a"), entry(3, "b")), problems)
    assert [one.name for one in listed] == ["b"]
    assert told(problems) == [("error", "picture-listed-twice", f"/images/{place}") for place in (0, 1)]
    assert {problem.message for problem in problems} == {"the picture is listed 2 times"}


def test_annotations_are_grouped_by_picture_in_order() -> None:
    first, second, third = of_picture(1, 11), of_picture("2", 12), of_picture(1.0, 13)
    problems: list[DataProblem] = []
    found = group_annotations(
        coco(entry(1, "a"), entry(2, "b"), entry(3, "c"), annotations=(first, second, third)), problems
    )
    assert found == {1: [0, 2], 2: [1]}
    assert problems == []


def test_annotations_of_an_entry_that_cannot_be_used_are_found_all_the_same() -> None:
    assert set(group_annotations(coco(entry(1, ""), annotations=(of_picture(1, 1),)), [])) == {1}


@pytest.mark.parametrize("annotation", [of_picture(2, 1), of_picture(None, 1), {}, "x", None])
def test_an_annotation_of_no_listed_picture_is_in_no_group_and_its_id_is_not_judged(annotation: Any) -> None:
    problems: list[DataProblem] = []
    images = (entry(1, "a"), entry(None, "b"))
    assert group_annotations(coco(*images, annotations=(annotation, annotation)), problems) == {}
    assert problems == []


def test_an_annotation_id_is_told_once_however_often_it_is_used() -> None:
    problems: list[DataProblem] = []
    repeated = tuple(of_picture(1, own_id) for own_id in (5, "5", 5, 6))
    found = group_annotations(coco(entry(1, "a"), annotations=repeated), problems)
    assert len(found[1]) == 4
    assert told(problems) == [("warning", "annotation-id-twice", "/annotations/1")]


@pytest.mark.parametrize(
    ("own_id", "code"),
    [(None, "annotation-id-missing"), ([], "annotation-id-missing"), (0, "annotation-id-0")],
)
def test_annotations_without_an_id_that_pycocotools_matches_are_kept_and_told(own_id: Any, code: str) -> None:
    problems: list[DataProblem] = []
    found = group_annotations(coco(entry(1, "a"), annotations=(of_picture(1, own_id),) * 2), problems)
    assert len(found[1]) == 2
    assert told(problems) == [("info", code, "/annotations/0"), ("info", code, "/annotations/1")]
