"""COCO files, alone and in folders, also as LVIS extends them."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from dataset.coco.document import CocoFile
from dataset.formats.archives import open_source
from dataset.formats.port import LabelSource
from dataset.pictures.decoding import encode_png
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from tests.fakes.coco_batches import coco_content, noise_pixels, write_pictures

LABELME = {"version": "5.0", "shapes": 3, "imagePath": "a.png", "imageData": None}


def read(path: Path) -> CocoFile:
    return read_labels(LabelSource(path))


def roboflow(folder: Path) -> Path:
    """Write three splits of four pictures; the last numbers the classes otherwise."""
    names = iter(range(4))
    for split, num_pictures, classes in (
        ("test", 1, ("bolt", "nut")),
        ("train", 2, ("bolt", "nut")),
        ("valid", 1, ("nut", "bolt")),
    ):
        content = coco_content(range(num_pictures), classes)
        content["annotations"] = [one for one in content["annotations"] if one["category_id"] == 1]
        (folder / split).mkdir(parents=True)
        for image in content["images"]:
            image["file_name"] = f"{image['id']}_png.rf.0a1b2c3d.png"
            (folder / split / image["file_name"]).write_bytes(encode_png(noise_pixels(next(names))))
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
    return folder


class TestAFolder:
    def test_with_one_coco_file_means_that_file(self, tmp_path: Path) -> None:
        (tmp_path / "annotations").mkdir()
        write_pictures(tmp_path / "images", range(2))
        file = tmp_path / "annotations" / "instances.json"
        file.write_text(json.dumps(coco_content(range(2))))
        (tmp_path / "settings.json").write_text("{}")
        coco = read(tmp_path)
        assert (coco.path, coco.images_dir, coco.read_as) == (file, tmp_path / "images", "COCO")

    def test_with_several_names_them(self, tmp_path: Path) -> None:
        for name in ("instances.json", "person_keypoints.json"):
            (tmp_path / name).write_text(json.dumps(coco_content(range(2))))
        with pytest.raises(DataError, match="2 COCO files about the same pictures") as caught:
            read(tmp_path)
        assert "instances.json, person_keypoints.json" in caught.value.hint

    def test_in_an_archive_is_unpacked_before_one_is_named(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
            for name in ("train.json", "valid.json"):
                archive.writestr(name, json.dumps(coco_content(range(2))))
        with (
            open_source(tmp_path / "export.zip") as source,
            pytest.raises(DataError, match="the archive holds 2 COCO files about the same") as caught,
        ):
            read_labels(source)
        assert caught.value.hint == "unpack it and name one of them: train.json, valid.json"

    def test_with_one_file_for_each_split_is_one_batch(self, tmp_path: Path) -> None:
        batch = roboflow(tmp_path / "export")
        archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", batch))
        for path in (batch, archive):
            with open_source(path) as source:
                coco = read_labels(source)
                assert coco.images_dir is not None
                files = [coco.images_dir / image["file_name"] for image in coco.images]
                assert [file.is_file() for file in files] == [True] * 4
            names = [image["file_name"] for image in coco.images]
            assert names == [
                f"{place}_png.rf.0a1b2c3d.png" for place in ("test/0", "train/0", "train/1", "valid/0")
            ]
            assert (
                len({image["id"] for image in coco.images})
                == len({one["id"] for one in coco.annotations})
                == 4
            )
            assert [problem.code for problem in coco.problems] == ["files-joined"]
            classes = {category["id"]: category["name"] for category in coco.categories}
            drawn = {one["image_id"]: classes[one["category_id"]] for one in coco.annotations}
            assert [drawn[image["id"]] for image in coco.images] == ["bolt", "bolt", "bolt", "nut"]

    def test_with_splits_whose_pictures_lie_in_one_folder_is_one_batch(self, tmp_path: Path) -> None:
        (tmp_path / "annotations").mkdir()
        (tmp_path / "images").mkdir()
        for split, numbers in (("train", range(2)), ("val", range(2, 3))):
            content = coco_content(numbers)
            (tmp_path / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
            for image in content["images"]:
                (tmp_path / "images" / image["file_name"]).write_bytes(encode_png(noise_pixels(1)))
        with open_source(tmp_path) as source:
            coco = read_labels(source)
        assert (coco.images_dir, len(coco.images)) == (tmp_path / "images", 3)

    @pytest.mark.parametrize(
        ("name", "data", "said"),
        [
            ("a.json", b"", "a.json, which is empty"),
            ("a.json", "{}".encode("utf-16"), "a.json, which is UTF-16 and has to be UTF-8"),
            ("a.json", b"{", "a.json, which is not valid JSON"),
            ("a.csv", b"image,label\n", "a table, a.csv, where JSON is needed"),
            ("a.zip", b"PK\5\6" + b"\0" * 18, "another archive, a.zip, which has to be unpacked"),
        ],
    )
    def test_of_a_file_that_cannot_be_used_says_why(
        self, tmp_path: Path, name: str, data: bytes, said: str
    ) -> None:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError) as refused:
            read(tmp_path)
        assert said in refused.value.headline

    def test_of_another_machine_keeps_folders_where_two_pictures_have_one_name(self, tmp_path: Path) -> None:
        content = coco_content(range(2))
        for image, name in zip(content["images"], ("x/a.png", "y/a.png"), strict=True):
            image["file_name"] = f"C:\\Users\\ada\\{name}".replace("/", "\\")
            (tmp_path / "images" / name).parent.mkdir(parents=True)
            (tmp_path / "images" / name).write_bytes(encode_png(noise_pixels(1)))
        (tmp_path / "a.json").write_text(json.dumps(content))
        coco = read(tmp_path)
        assert [image["file_name"] for image in coco.images] == ["x/a.png", "y/a.png"]
        assert coco.images_dir == tmp_path / "images"

    def test_of_something_unread_says_what_it_looks_like(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text(json.dumps(LABELME))
        with pytest.raises(DataError, match="labelme's file of one picture, but no COCO file"):
            read(tmp_path)
        (tmp_path / "data.yaml").write_text("path: ../data\ntrain: images/train\nnames:\n  0: bolt\n")
        with pytest.raises(DataError, match=r"YOLO's data.yaml, but no COCO file"):
            read(tmp_path)

    def test_of_a_file_that_was_cut_off_names_it(self, tmp_path: Path) -> None:
        (tmp_path / "annotations").mkdir()
        file = tmp_path / "annotations" / "instances.json"
        file.write_text(json.dumps(coco_content(range(2)))[:300])
        with pytest.raises(DataError, match=r"holds annotations/instances\.json, which is not valid JSON"):
            read(tmp_path)

    def test_with_nothing_says_what_is_wanted(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="the folder holds no labels in a format that is read") as caught:
            read(tmp_path)
        assert "COCO instance segmentation" in caught.value.hint


def test_content_counts_and_not_the_ending_of_the_name(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(json.dumps(coco_content(range(2))))
    assert len(read(tmp_path).images) == len(read(tmp_path / "labels.txt").images) == 2


class TestPathsOfAnotherMachine:
    def named(self, folder: Path, *names: str) -> CocoFile:
        content = coco_content(range(len(names)))
        for image, name in zip(content["images"], names, strict=True):
            image["file_name"] = name
        write_pictures(folder / "images", range(len(names)))
        (folder / "result.json").write_text(json.dumps(content))
        return read(folder)

    def test_are_cut_to_the_names_of_the_pictures_that_are_there(self, tmp_path: Path) -> None:
        coco = self.named(
            tmp_path, "../upload/1/picture_000.png", "C:\\data\\picture_001.png", "picture_002.png"
        )
        assert [each["file_name"] for each in coco.images] == [
            f"picture_00{number}.png" for number in range(3)
        ]
        assert coco.images_dir == tmp_path / "images"
        (told,) = coco.problems
        assert (told.severity, told.code, told.count) == ("info", "picture-path-cut", 2)

    def test_stay_where_two_pictures_would_become_one(self, tmp_path: Path) -> None:
        names = ["../left/picture_000.png", "/right/picture_000.png"]
        coco = self.named(tmp_path, *names)
        assert [each["file_name"] for each in coco.images] == names
        assert coco.problems == ()

    def test_stay_where_nothing_is_left_of_them(self, tmp_path: Path) -> None:
        assert [each["file_name"] for each in self.named(tmp_path, "/").images] == ["/"]


class TestLvis:
    def lvis(self, tmp_path: Path, folder: str) -> CocoFile:
        content, tmp_path = coco_content(range(2)), tmp_path / "alone" / "here"
        write_pictures(tmp_path / folder, range(2))
        for image in content["images"]:
            image |= {"neg_category_ids": [], "not_exhaustive_category_ids": [1]}
            image["coco_url"] = f"http://localhost/train2017/{image.pop('file_name')}"
        (tmp_path / "lvis.json").write_text(json.dumps(content))
        return read(tmp_path)

    @pytest.mark.parametrize(
        ("folder", "name"),
        [("train2017", "train2017/picture_000.png"), ("pictures", "picture_000.png")],
    )
    def test_pictures_are_named_by_their_address(self, folder: str, name: str, tmp_path: Path) -> None:
        coco = self.lvis(tmp_path, folder)
        assert coco.images[0]["file_name"] == name
        assert coco.images_dir is not None
        assert (coco.images_dir / name).is_file()

    def test_that_not_every_object_is_annotated_is_told(self, tmp_path: Path) -> None:
        (told,) = self.lvis(tmp_path, "pictures").problems
        assert (told.severity, told.code) == ("info", "lvis-not-exhaustive")
        assert "not all annotated in 2 pictures" in told.message
