"""labelme: one file a picture; what is wrong with one of them costs that picture."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.coco.document import CocoFile
from dataset.formats.archives import open_source
from dataset.pictures.decoding import encode_png
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from maskloop.masks import areas_px, decode_masks, rle_from_coco
from tests.fakes.coco_batches import noise_pixels
from tests.fakes.labelme_files import mask_png, mask_shape, page, shape

SIZE = {"imageWidth": 40, "imageHeight": 30}
SQUARE = [(4, 3), (14, 3), (14, 11), (4, 11)]


def write(
    folder: Path, name: str, *shapes: dict[str, Any], with_picture: bool = True, **changes: Any
) -> None:
    file = folder / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    if with_picture:
        file.with_suffix(".png").write_bytes(encode_png(noise_pixels(1)))
    picture = changes.pop("imagePath", f"{file.stem}.png")
    file.write_text(json.dumps(page(picture, *shapes, **{**SIZE, **changes})))


def read(folder: Path, key: str = "") -> CocoFile:
    with open_source(folder) as source:
        return read_labels(source, key=key)


def areas(coco: CocoFile) -> list[int]:
    masks = [rle_from_coco(each["segmentation"], 30, 40) for each in coco.annotations]
    return [int(area) for area in areas_px(masks)]


def errors(coco: CocoFile) -> list[tuple[str, str]]:
    return [(each.code, each.picture) for each in coco.problems if each.severity == "error"]


def test_a_mask_begins_and_ends_with_its_corners(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), bool)
    mask[2:9, 5:11] = True
    mask[4, 7] = False
    write(tmp_path, "a", mask_shape("nut", mask))
    coco = read(tmp_path)
    read_back = decode_masks([rle_from_coco(coco.annotations[0]["segmentation"], 30, 40)])[0]
    assert np.array_equal(read_back, mask)
    assert coco.annotations[0]["origin"] == {"tool": "labelme 5.5.0"}


def test_shapes_of_one_group_and_label_are_one_object(tmp_path: Path) -> None:
    moved = [(x + 20, y) for x, y in SQUARE]
    write(
        tmp_path,
        "a",
        shape("nut", SQUARE, group_id=1),
        shape("nut", moved, group_id=1),
        shape("bolt", moved, group_id=1),
        shape("nut", SQUARE),
    )
    coco = read(tmp_path)
    names = [coco.categories[each["category_id"] - 1]["name"] for each in coco.annotations]
    assert sorted(zip(names, areas(coco), strict=True)) == [("bolt", 80), ("nut", 80), ("nut", 160)]


def test_rectangles_and_circles_are_outlines_and_rectangles_are_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a",
        shape("nut", [(14, 11), (4, 3)], "rectangle"),
        shape("nut", [(20, 15), (20, 18)], "circle"),
        shape("nut", SQUARE, "oriented_rectangle"),
    )
    coco = read(tmp_path)
    assert areas(coco) == [80, 32, 80]
    assert [(each.severity, each.code) for each in coco.problems] == [("info", "box-as-outline")] * 2


def test_a_flag_makes_a_crowd(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a",
        shape("nut", SQUARE, flags={"crowd": True}),
        shape("nut", SQUARE, flags={"crowd": False}),
    )
    assert [each["iscrowd"] for each in read(tmp_path).annotations] == [1, 0]


def test_what_labelme_calls_background_is_no_object_and_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a", shape("_background_", SQUARE), shape("__ignore__", SQUARE), shape("nut", SQUARE))
    coco = read(tmp_path)
    assert [each["name"] for each in coco.categories] == ["nut"]
    assert [(each.severity, each.code) for each in coco.problems] == [("warning", "not-an-object")] * 2


class TestPictures:
    def test_lie_beside_their_files_in_any_folder(self, tmp_path: Path) -> None:
        write(tmp_path, "left/a", shape("nut", SQUARE))
        write(tmp_path, "right/a", imagePath="D:\\photos\\a.png")
        coco = read(tmp_path)
        assert [each["file_name"] for each in coco.images] == ["left/a.png", "right/a.png"]
        assert coco.images_dir == tmp_path

    def test_may_lie_where_the_file_says(self, tmp_path: Path) -> None:
        write(
            tmp_path / "batch",
            "labels/a",
            shape("nut", SQUARE),
            with_picture=False,
            imagePath="../pictures/a.png",
        )
        write(tmp_path / "batch", "pictures/a", shape("nut", SQUARE))
        (tmp_path / "batch" / "pictures" / "a.json").unlink()
        assert read(tmp_path / "batch").images[0]["file_name"] == "pictures/a.png"

    def test_come_from_the_file_where_they_are_missing(self, tmp_path: Path) -> None:
        inside = b64encode(encode_png(noise_pixels(2))).decode()
        write(tmp_path, "a", shape("nut", SQUARE))
        write(tmp_path, "b", shape("nut", SQUARE), with_picture=False, imageData=inside)
        with open_source(tmp_path) as source:
            coco = read_labels(source)
            assert coco.images_dir is not None
            assert coco.images_dir != tmp_path
            stored = [(coco.images_dir / name).read_bytes() for name in ("a.png", "b.png")]
        assert stored == [encode_png(noise_pixels(1)), encode_png(noise_pixels(2))]
        assert [each.code for each in coco.problems] == ["picture-from-labels"]
        assert not coco.images_dir.exists()
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a.json", "a.png", "b.json"]

    @pytest.mark.parametrize("name", ["..", "../..", "/", "x/.."])
    def test_never_leave_the_folder(self, name: str, tmp_path: Path) -> None:
        inside = b64encode(b"anything").decode()
        write(tmp_path, "a", shape("nut", SQUARE), with_picture=False, imagePath=name, imageData=inside)
        read(tmp_path)
        assert [each.name for each in tmp_path.iterdir()] == ["a.json"]

    def test_tell_their_size_where_the_file_does_not(self, tmp_path: Path) -> None:
        write(tmp_path, "a", shape("nut", [(20, 15), (20, 18)], "circle"), imageHeight=None, imageWidth=None)
        coco = read(tmp_path)
        assert (coco.images[0]["height"], coco.images[0]["width"], areas(coco)) == (30, 40, [32])


BAD_SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "a line": (shape("nut", [(1, 1), (5, 5)], "line"), "no-mask"),
    "a point": (shape("nut", [(1, 1)], "point"), "no-mask"),
    "no label": (shape("", SQUARE), "bad-shape"),
    "a mask in a box of another size": (
        shape("nut", [(1, 1), (9, 9)], "mask", mask=mask_png(np.ones((3, 3), bool))),
        "bad-shape",
    ),
    "a mask outside the picture": (
        shape("nut", [(39, 1), (41, 3)], "mask", mask=mask_png(np.ones((3, 3), bool))),
        "bad-shape",
    ),
    "a mask that is no picture": (shape("nut", [(1, 1), (3, 3)], "mask", mask="AAAA"), "bad-shape"),
    "a mask that is no base64": (shape("nut", [(1, 1), (3, 3)], "mask", mask="A"), "bad-shape"),
    "a mask that is missing": (shape("nut", [(1, 1), (3, 3)], "mask"), "bad-shape"),
    "points that are none": ({**shape("nut", SQUARE), "points": [[1, "x"], 3]}, "bad-shape"),
}


@pytest.mark.parametrize("what", BAD_SHAPES)
def test_a_shape_that_is_no_mask_costs_its_picture_alone(what: str, tmp_path: Path) -> None:
    bad, code = BAD_SHAPES[what]
    write(tmp_path, "a", shape("nut", SQUARE), bad)
    write(tmp_path, "b", shape("nut", SQUARE))
    assert errors(read(tmp_path)) == [(code, "a.png")]


def test_a_file_that_was_cut_off_costs_its_picture_alone(tmp_path: Path) -> None:
    write(tmp_path, "a", shape("nut", SQUARE))
    write(tmp_path, "b", shape("nut", SQUARE))
    text = (tmp_path / "b.json").read_text()
    (tmp_path / "b.json").write_text(text[: len(text) // 2])
    (tmp_path / "settings.json").write_text("{")
    coco = read(tmp_path)
    assert errors(coco) == [("labels-unreadable", "b.png")]
    assert [each["file_name"] for each in coco.images] == ["a.png", "b.png"]


def test_a_folder_without_its_files_is_refused_when_named_so(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="no file of labelme"):
        read(tmp_path, "labelme")
