"""MIT's LabelMe: whole objects, parts, masks in files, and what costs a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset.coco.document import CocoFile
from dataset.formats.archives import open_source
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from maskloop.masks import decode_masks, rle_from_coco
from tests.fakes.label_scene import HEIGHT_PX, WIDTH_PX, block, corners, scene_png
from tests.fakes.labelme_xml_files import FOLDER, polygon, segm, thing, write_page


def read(folder: Path, *, key: str = "") -> CocoFile:
    with open_source(folder) as source:
        return read_labels(source, key=key)


def put_picture(folder: Path, name: str = "a.png") -> None:
    (folder / "Images" / FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / "Images" / FOLDER / name).write_bytes(scene_png())


def square(left: int = 5, top: int = 5) -> str:
    return polygon(corners(left, top, 10, 10))


def areas(coco: CocoFile) -> list[int]:
    rles = [rle_from_coco(one["segmentation"], HEIGHT_PX, WIDTH_PX) for one in coco.annotations]
    return [int(mask.sum()) for mask in decode_masks(rles)]


def test_an_object_names_its_annotator_folder_and_time(tmp_path: Path) -> None:
    put_picture(tmp_path)
    write_page(tmp_path, "a.png", thing(0, "nut", square()))
    coco = read(tmp_path)
    assert (coco.read_as, coco.problems) == ("LabelMe XML", ())
    told = {"tool": "LabelMe", "task": FOLDER, "annotator": "ada", "time": "01-Jan-2026"}
    assert coco.annotations[0]["origin"] == told
    assert coco.images_dir is not None
    assert (coco.images_dir / coco.images[0]["file_name"]).is_file()


def test_a_part_of_the_same_class_belongs_to_its_object_and_a_wheel_of_a_car_does_not(tmp_path: Path) -> None:
    put_picture(tmp_path)
    write_page(
        tmp_path,
        "a.png",
        thing(0, "car", square()),
        thing(1, "car", square(30), parent="0"),
        thing(2, "wheel", square(5, 30), parent="0"),
        thing(3, "wheel", square(30, 30), parent="0"),
    )
    assert sorted(areas(read(tmp_path))) == [100, 100, 200]


def test_parents_in_a_circle_end(tmp_path: Path) -> None:
    put_picture(tmp_path)
    write_page(
        tmp_path, "a.png", thing(0, "car", square(), parent="1"), thing(1, "car", square(30), parent="0")
    )
    assert sum(areas(read(tmp_path))) == 200


def test_deleted_objects_are_left_out(tmp_path: Path) -> None:
    put_picture(tmp_path)
    write_page(tmp_path, "a.png", thing(0, "nut", square(), deleted=1), thing(1, "nut", square(30)))
    assert len(read(tmp_path).annotations) == 1


def test_a_picture_without_a_size_takes_that_of_its_mask(tmp_path: Path) -> None:
    put_picture(tmp_path)
    mask = block(3, 4, 5, 6)
    write_page(tmp_path, "a.png", thing(0, "nut", segm(mask, tmp_path, "m.png")), size=False)
    coco = read(tmp_path)
    assert (coco.images[0]["height"], coco.images[0]["width"]) == (HEIGHT_PX, WIDTH_PX)
    assert np.array_equal(
        decode_masks([rle_from_coco(coco.annotations[0]["segmentation"], HEIGHT_PX, WIDTH_PX)])[0], mask
    )


@pytest.mark.parametrize(
    ("shape", "code", "message"),
    [
        ("<segm><mask>gone.png</mask></segm>", "bad-shape", "'gone.png' is not there"),
        ("<segm><mask>../../../etc/passwd</mask></segm>", "bad-shape", "is not there"),
        ("<polygon><pt><x>1</x><y>up</y></pt></polygon>", "bad-shape", "a point is two numbers"),
        (f"<type>bounding_box</type>{polygon(corners(5, 5, 10, 10))}", "no-mask", "only a box"),
        ("", "no-mask", "only a shape of no kind"),
    ],
)
def test_a_shape_that_cannot_be_read_costs_its_picture(
    tmp_path: Path, shape: str, code: str, message: str
) -> None:
    put_picture(tmp_path)
    put_picture(tmp_path, "b.png")
    write_page(tmp_path, "a.png", thing(0, "nut", shape))
    write_page(tmp_path, "b.png", thing(0, "nut", square()))
    (problem,) = read(tmp_path).problems
    assert (problem.code, Path(problem.picture).name) == (code, "a.png")
    assert message in problem.message


def test_a_file_cut_in_half_costs_its_picture(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        put_picture(tmp_path, name)
        file = write_page(tmp_path, name, thing(0, "nut", square()))
    whole = file.read_text()
    file.write_text(whole[: whole.index("<id>")])
    (problem,) = read(tmp_path).problems
    assert (problem.severity, problem.code, Path(problem.picture).name) == (
        "error",
        "labels-unreadable",
        "b.png",
    )


def test_a_folder_without_its_files_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no XML file of LabelMe") as refused:
        read(tmp_path, key="labelme-xml")
    assert "Annotations/NAME.xml" in refused.value.hint
