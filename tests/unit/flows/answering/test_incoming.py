"""What comes in is told by its bytes, keeps its place among the others, and is counted."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from flows.answering.incoming import PictureAnswer, balance, list_files, overlay_file, tell_passed_over
from maskloop.errors import DataError
from tests.fakes.field_pictures import HEIC


def write(file: Path, format_name: str = "PNG") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format_name)
    file.write_bytes(buffer.getvalue())
    return file


def names(*named: Path) -> list[str]:
    return [file.name for file in list_files(named) if not file.passed_over]


def test_pictures_are_told_by_their_bytes_whatever_their_names_end_in(tmp_path: Path) -> None:
    for name, kind in (("a.jfif", "JPEG"), ("b.JPE", "JPEG"), ("c", "PNG"), ("d.dat", "WEBP")):
        write(tmp_path / name, kind)
    write(tmp_path / "e.png", "TIFF")
    (tmp_path / "f").write_bytes(HEIC)
    (tmp_path / "g.bin").write_bytes(bytes(128) + b"DICM")
    write(tmp_path / "h.jpg", "GIF")
    assert names(tmp_path) == ["a.jfif", "b.JPE", "c", "d.dat", "e.png", "f", "g.bin"]


def test_files_that_are_not_pictures_are_skipped_and_counted_by_kind(tmp_path: Path) -> None:
    write(tmp_path / "left" / "a.png")
    for name, kind in (("a.gif", "GIF"), ("b.GIF", "GIF"), ("c.eps", "EPS")):
        write(tmp_path / name, kind)
    (tmp_path / "README").write_text("pictures of line 7")
    write(tmp_path / "left" / "a.png.overlay.png")
    answers = tell_passed_over(list_files([tmp_path]))
    assert len(answers) == 5
    assert balance([PictureAnswer("x", "1", "w", "b", ()), *answers]) == [
        "6 files: 1 answered, 0 failed, 5 passed over",
        "passed over: 2 .gif, 1 without ending, 1 .eps (not JPEG, PNG, WebP, BMP, TIFF, DICOM or HEIC); "
        "1 .png (drawn by an earlier predict)",
    ]


def test_failures_are_counted_by_their_reason_with_the_first_picture_of_each() -> None:
    good = PictureAnswer("a.png", "1", "w", "b", (), name="a.png")
    broken = [replace(good, error="it is broken", name=name) for name in ("b.png", "c.png")]
    assert balance([good, *broken, replace(good, error="it is empty", name="d.png")]) == [
        "4 files: 1 answered, 3 failed, 0 passed over",
        "failed: 2 (it is broken; first: b.png), 1 (it is empty; first: d.png)",
    ]


def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "only.gif", "GIF")
    with pytest.raises(DataError, match=r"no pictures here: 1 \.gif \(not JPEG, PNG, WebP, BMP, TIFF"):
        list_files([tmp_path])


def test_a_file_named_by_itself_is_predicted_even_if_it_is_not_a_picture(tmp_path: Path) -> None:
    assert names(write(tmp_path / "only.gif", "GIF"), tmp_path / "absent.png") == ["only.gif", "absent.png"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["all"], ["left/0001.png", "left/0002.jpg", "left/0002.png", "right/0001.png"]),
        (["all/left", "all/right"], ["left/0001.png", "left/0002.jpg", "left/0002.png", "right/0001.png"]),
        (["all/left"], ["0001.png", "0002.jpg", "0002.png"]),
        (["all/left/0001.png"], ["0001.png"]),
        (["all/right/0001.png", "all/left/0001.png"], ["right/0001.png", "left/0001.png"]),
        (["all/left", "all/left/../left/0001.png"], ["0001.png", "0002.jpg", "0002.png"]),
    ],
)
def test_no_two_pictures_share_a_name_or_a_drawing(
    tmp_path: Path, named: list[str], expected: list[str]
) -> None:
    for name in ("left/0001.png", "right/0001.png", "left/0002.png", "left/0002.jpg"):
        write(tmp_path / "all" / name, "JPEG" if name.endswith("jpg") else "PNG")
    assert names(*(tmp_path / name for name in named)) == expected
    drawings = {overlay_file(tmp_path, name) for name in expected}
    assert len(drawings) == len(expected)
