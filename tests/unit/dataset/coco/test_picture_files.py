"""Finding the pictures a COCO file means."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset.coco.picture_files import PictureFolder, locate_pictures
from dataset.problems import DataProblem


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("files", "names", "expected"),
    [
        (["images/a.png"], ["a.png"], "images"),
        (["images/a.png"], ["images/a.png"], "."),
        (["images/a.png"], ["images\\a.png"], "."),
        (["a.png", "images/b.png"], ["a.png"], "."),
        (["a.png", "images/a.png", "images/b.png"], ["a.png", "b.png"], "images"),
        (["pictures/a.png"], ["a.png"], "pictures"),
        (["images/Ö.png"], ["O\u0308.png"], "images"),
        (["images/x.txt"], ["a.png"], "images"),
        (["x.txt"], ["a.png"], "."),
        (["one/a.png", "two/a.png"], ["a.png"], "."),
        (["one/a.png", "two/a.png", "two/b.png"], ["a.png", "b.png"], "two"),
    ],
)
def test_the_folder_is_the_one_that_holds_the_most(files, names, expected, tmp_path):
    batch = tmp_path / "outer" / "batch"
    touch(batch, "annotations.json", *files)
    assert locate_pictures(batch / "annotations.json", names) == (batch / expected)


def test_pictures_beside_the_folder_of_the_annotations_are_found(tmp_path):
    touch(tmp_path, "annotations/instances_train2017.json", "train2017/1.jpg", "val2017/2.jpg")
    assert locate_pictures(tmp_path / "annotations/instances_train2017.json", ["1.jpg"]) == (
        tmp_path / "train2017"
    )


@pytest.mark.parametrize(
    ("on_disk", "told"),
    [
        ("Part_1.PNG", "Part_1.png"),
        ("line 1.png", "line%201.png"),
        ("left/a.png", "a.png"),
        ("a.png", "images/a.png"),
        ("a.png", "a.png "),
        ("Ö 1.PNG", "O\u0308%201.png"),
    ],
)
def test_a_missing_picture_names_the_folder_and_the_file_that_may_be_meant(on_disk, told, tmp_path):
    touch(tmp_path, on_disk)
    found = PictureFolder(tmp_path).find(told)
    assert isinstance(found, DataProblem)
    assert (found.code, found.where) == ("picture-missing", told)
    assert str(tmp_path) in found.message
    assert repr(on_disk) in found.hint


def test_a_picture_that_is_nowhere_points_to_the_option(tmp_path):
    found = PictureFolder(tmp_path / "images").find("a.png")
    assert isinstance(found, DataProblem)
    assert "--images" in found.hint


@pytest.mark.parametrize("name", ["../../upload/4/a.png", "..\\a.png", "/home/me/a.png"])
def test_a_name_that_leads_out_is_refused_and_says_what_to_do(name, tmp_path):
    touch(tmp_path, "images/a.png", "a.png")
    found = PictureFolder(tmp_path / "images").find(name)
    assert isinstance(found, DataProblem)
    assert found.code == "unsafe-name"
    assert "'a.png' is there" in found.hint


def test_two_files_of_one_composed_name_are_not_guessed_between(tmp_path):
    touch(tmp_path, "dir/Ö x.png", "dir/O\u0308 x.png")
    assert PictureFolder(tmp_path).find("dir\\Ö x.png") == "dir/Ö x.png"
