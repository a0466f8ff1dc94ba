"""Values as they stand in COCO files of unknown origin: ids, flags, boxes, names and who wrote the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.coco.document import CocoFile, box_is_sound, crowd_flag, identifier, is_safe_name, read_coco
from maskloop.errors import DataError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-3, -3),
        (3.0, 3),
        (3.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (False, None),
        (" 12\n", 12),
        ("007", 7),
        ("3.0", "3.0"),
        ("-3", "-3"),
        ("a b", "a b"),
        ("", None),
        ("  ", None),
        ("٣", "٣"),
        ("²", "²"),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, "9" * 19),
        ([1], None),
        ({"id": 1}, None),
    ],
)
def test_an_id_is_a_whole_number_or_a_trimmed_text_and_nothing_else(
    value: Any, expected: int | str | None
) -> None:
    found = identifier(value)
    assert (found, type(found)) == (expected, type(expected))


@given(st.integers(0, 10**18 - 1))
def test_an_id_is_the_same_as_number_as_text_and_as_float(number: int) -> None:
    assert identifier(str(number)) == identifier(number) == number
    assert identifier(float(number)) == int(float(number))


@given(st.text())
def test_an_id_that_was_read_is_read_again_as_itself(text: str) -> None:
    once = identifier(text)
    assert identifier(once) == once


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, False),
        (True, True),
        (1.0, True),
        (None, False),
        (" TRUE ", True),
        ("False", False),
        ("0", False),
        (0.5, None),
        (2, None),
        (-1, None),
        ("yes", None),
        ("", None),
        (float("nan"), None),
        ([1], None),
    ],
)
def test_a_crowd_flag_is_yes_no_or_senseless(value: Any, expected: bool | None) -> None:
    assert crowd_flag({"iscrowd": value}) is expected


def test_an_annotation_that_does_not_speak_of_crowds_is_none() -> None:
    assert crowd_flag({}) is False


@pytest.mark.parametrize(
    ("box", "is_sound"),
    [
        ([0, 0, 0, 0], True),
        ([1.5, 2, 3, 4.25], True),
        ([-2.0, -2.0, 5, 5], True),
        ([-2.1, 0, 5, 5], False),
        ([0, 0, 5, -2.1], False),
        ([0, 0, 5], False),
        ([0, 0, 5, 5, 5], False),
        ([0, 0, 5, 5, "5"], False),
        ([0, 0, 5, True], False),
        ([0, 0, 5, "5"], False),
        ([0, 0, 5, None], False),
        ([0, float("nan"), 5, 5], False),
        ((0, 0, 5, 5), False),
        ("0055", False),
        (None, False),
    ],
)
def test_a_sound_box_is_four_finite_numbers_that_are_negative_by_rounding_at_most(
    box: Any, is_sound: bool
) -> None:
    assert box_is_sound(box) is is_sound


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        ("a..b.png", True),
        ("left\\a.png", True),
        ("./a.png", True),
        ("..", False),
        ("left/../../a.png", False),
        ("left\\..\\a.png", False),
        ("\\\\server\\a.png", False),
        ("\\a.png", False),
        ("a\0.png", False),
    ],
)
def test_a_safe_name_stays_in_its_folder_with_either_slash(name: str, is_safe: bool) -> None:
    assert is_safe_name(name) is is_safe


@pytest.mark.parametrize(
    ("contributor", "is_label_studio"),
    [("Label Studio", True), ("label studio", True), ("Label Studio 2", False), ("", False)],
)
def test_label_studio_is_known_by_its_whole_name(contributor: str, is_label_studio: bool) -> None:
    assert CocoFile(Path("a.json"), (), (), (), contributor).is_label_studio is is_label_studio


def written(folder: Path, **changes: Any) -> Path:
    content = {"images": [1], "annotations": [2, 2], "categories": [3, 3, 3], **changes}
    path = folder / "coco.json"
    path.write_text(json.dumps({name: value for name, value in content.items() if value != "left out"}))
    return path


def test_the_three_lists_come_back_each_under_its_own_name(tmp_path: Path) -> None:
    coco = read_coco(written(tmp_path, info={"contributor": "Label Studio"}))
    assert (coco.images, coco.annotations, coco.categories) == ((1,), (2, 2), (3, 3, 3))
    assert coco.tool == "Label Studio"


@pytest.mark.parametrize("info", [None, "Label Studio", [], {}, {"contributor": 7}, {"contributor": None}])
def test_a_file_that_does_not_say_who_wrote_it_in_words_tells_no_tool(info: Any, tmp_path: Path) -> None:
    assert read_coco(written(tmp_path, info=info)).tool == ""


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"images": {}}, "no list of images$"),
        ({"annotations": "left out"}, "no list of annotations$"),
        ({"images": None, "categories": "none"}, "no list of images and categories$"),
    ],
)
def test_each_list_that_is_missing_is_named_and_no_other(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(DataError) as caught:
        read_coco(path)
    assert caught.value.where == str(path)
    with pytest.raises(DataError, match=named):
        raise DataError(caught.value.headline)


@pytest.mark.parametrize("content", [b"", b" \n\t"])
def test_an_empty_file_is_called_empty(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is empty") as caught:
        read_coco(path)
    assert caught.value.hint == "export it again"


def test_text_of_another_encoding_is_told_from_broken_json(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_bytes('{"images": "Prüfling"}'.encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_coco(path)
    path.write_bytes(b'{"images": [}')
    with pytest.raises(DataError, match="is not JSON: Expecting value"):
        read_coco(path)


def test_a_folder_in_place_of_a_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_coco(tmp_path)
