"""Several COCO files joined to one."""

from pathlib import Path
from typing import Any

from dataset.coco.document import CocoFile
from dataset.coco.joining import join_files


def file(images: list[Any], annotations: list[Any], categories: list[Any], tool: str = "") -> CocoFile:
    return CocoFile(Path("a.json"), tuple(images), tuple(annotations), tuple(categories), tool)


def test_classes_are_matched_by_name_and_everything_gets_new_ids():
    one = file(
        [{"id": 0, "file_name": "a"}],
        [{"id": 0, "image_id": 0, "category_id": 5}],
        [{"id": 5, "name": "nut"}],
    )
    other = file(
        [{"id": 0, "file_name": "b"}],
        [{"id": 0, "image_id": 0, "category_id": 1}, {"id": 1, "image_id": 0, "category_id": 5}],
        [{"id": 1, "name": " nut "}, {"id": 5, "name": "bolt"}],
    )
    joined = join_files([one, other])
    assert joined.images == ({"id": 1, "file_name": "a"}, {"id": 2, "file_name": "b"})
    assert joined.categories == ({"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"})
    told = [(one["id"], one["image_id"], one["category_id"]) for one in joined.annotations]
    assert told == [(1, 1, 1), (2, 2, 1), (3, 2, 2)]


def test_what_matches_nothing_stays_for_the_validation_to_tell():
    bad = file(
        [{"file_name": "a"}, 7],
        [{"id": 1, "image_id": 9, "category_id": 9}, None],
        [{"id": 1, "name": 3}, None],
    )
    joined = join_files([bad, bad])
    assert joined.images == ({"file_name": "a"}, 7) * 2
    assert [one and (one["image_id"], one["category_id"]) for one in joined.annotations] == [
        (None, None),
        None,
    ] * 2
    assert joined.categories == ({"id": 1, "name": 3}, None) * 2


def test_a_picture_id_that_is_used_twice_in_a_file_stays_so():
    twice = file([{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], [], [])
    assert [image["id"] for image in join_files([twice, twice]).images] == [1, 1, 3, 3]


def test_the_tool_is_the_one_that_wrote_all_files():
    assert join_files([file([], [], [], "CVAT"), file([], [], [], "CVAT")]).tool == "CVAT"
    assert join_files([file([], [], [], "CVAT"), file([], [], [])]).tool == ""
