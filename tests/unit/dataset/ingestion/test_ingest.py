import io
import json

import numpy as np
import pytest
from PIL import Image

from dataset.coco.document import read_coco
from dataset.ingestion.refusal import BatchRefusedError
from dataset.pictures.decoding import decode_picture, encode_png
from dataset.versions.difference import compare_versions
from maskloop.errors import DataError
from maskloop.settings.workspace_settings import parse_settings
from tests.fakes.coco_batches import annotation, coco_content, noise_pixels, rectangle


def test_a_batch_becomes_a_version_with_every_picture_in_one_split(ingest):
    result = ingest(range(30))
    version = result.version
    assert (result.changed, result.num_added, version.tag, result.previous_tag) == (True, 30, "data-v1", "")
    assert version.class_names == ("bolt", "nut")
    assert sum(len(pictures) for pictures in version.by_split.values()) == 30
    assert all(len(picture.instances) == 2 for picture in version.pictures)


def test_the_same_batch_again_changes_nothing(ingest, store):
    first = ingest(range(6))
    again = ingest(range(6))
    assert (again.changed, again.num_added, again.num_updated, again.num_unchanged) == (False, 0, 0, 6)
    assert again.version == first.version
    assert store.versions() == ("data-v1",)


def test_a_second_batch_adds_to_the_first_and_leaves_its_splits(ingest):
    first = ingest(range(8)).version
    second = ingest(range(8, 12), source="elsewhere").version
    diff = compare_versions(first, second)
    assert [len(diff.added), len(diff.removed), len(diff.relabelled)] == [4, 0, 0]
    assert diff.instances_per_class == {"bolt": (8, 12), "nut": (8, 12)}
    assert {picture.added_in for picture in diff.added} == {"data-v2"}
    assert {picture.source for picture in diff.added} == {"elsewhere"}
    splits = {picture.digest: picture.split for picture in second.pictures}
    assert all(splits[picture.digest] == picture.split for picture in first.pictures)


def test_new_labels_of_a_known_picture_replace_the_old_ones(ingest):
    first = ingest(range(4)).version
    content = coco_content(range(4))
    content["annotations"].append(annotation(99, 2, 2, segmentation=rectangle(20, 12)))
    result = ingest(range(4), content, label_origin="model-reviewed")
    assert (result.num_added, result.num_updated) == (0, 1)
    diff = compare_versions(first, result.version)
    assert [picture.label_origin for picture in diff.relabelled] == ["model-reviewed"]
    assert diff.relabelled[0].added_in == "data-v1"


def test_crowds_are_counted_apart_between_versions(ingest):
    first = ingest(range(4)).version
    content = coco_content(range(4, 6))
    content["annotations"].append(annotation(99, 4, 2, segmentation=rectangle(20, 12), iscrowd=1))
    diff = compare_versions(first, ingest(range(4, 6), content).version)
    assert diff.instances_per_class == {"bolt": (4, 6), "nut": (4, 6)}
    assert diff.crowds_per_class == {"bolt": (0, 0), "nut": (0, 1)}


def test_a_declared_split_places_new_pictures_and_never_moves_old_ones(ingest):
    first = ingest(range(10), split="test").version
    result = ingest(range(12), split="train")
    splits = {picture.name: picture.split for picture in result.version.pictures}
    assert {picture.split for picture in first.pictures} == {"test"}
    assert sorted(splits.values()).count("test") == 10
    assert splits["picture_011.png"] == "train"


def test_a_frame_almost_like_a_test_picture_follows_it_into_the_test_split(ingest, store, tmp_path):
    ingest(range(3), split="test")
    folder = tmp_path / "batch" / "images"
    brighter = (noise_pixels(1) // 2 + 60).astype("uint8")
    (folder / "again.png").write_bytes(encode_png(brighter))
    content = coco_content(range(3, 4))
    content["images"].append({"id": 50, "file_name": "again.png", "width": 40, "height": 30})
    result = ingest(range(3, 4), content, split="train")
    splits = {picture.name: picture.split for picture in result.version.pictures}
    assert splits["again.png"] == "test"
    assert splits["picture_003.png"] == "train"
    assert [problem.code for problem in result.report.problems] == ["follows-group"]


def test_a_test_picture_stays_a_test_picture_after_going_back_to_an_older_version(ingest, store):
    ingest(range(4), split="train")
    ingest(range(4, 8), split="test")
    store.restore("data-v1")
    result = ingest(range(4, 9), split="train")
    splits = {picture.name: picture.split for picture in result.version.pictures}
    assert [splits[f"picture_00{number}.png"] for number in (4, 7, 8)] == ["test", "test", "train"]


def test_too_many_unusable_pictures_refuse_the_batch_and_change_nothing(ingest, store):
    content = coco_content(range(10))
    content["annotations"][0]["category_id"] = 77
    with pytest.raises(BatchRefusedError, match=r"1 of 10 pictures cannot be used \(10.0 %") as caught:
        ingest(range(10), content)
    assert caught.value.report.quarantined == ("picture_000.png",)
    assert store.versions() == ()


def test_a_tolerated_share_of_unusable_pictures_is_left_out_and_told(ingest):
    content = coco_content(range(10))
    content["annotations"][0]["category_id"] = 77
    settings = parse_settings({"data": {"max_quarantined_percent": 10}})
    result = ingest(range(10), content, settings=settings)
    assert (result.num_added, result.num_quarantined) == (9, 1)


def test_a_listed_picture_that_is_absent_or_broken_or_elsewhere_is_told(ingest, tmp_path):
    content = coco_content(range(4))
    names = ["absent.png", "../annotations.json", "broken.png", "picture_003.png"]
    for image, name in zip(content["images"], names, strict=True):
        image["file_name"] = name
    folder = tmp_path / "batch" / "images"
    folder.mkdir(parents=True)
    (folder / "broken.png").write_bytes(encode_png(noise_pixels(0))[:500])
    with pytest.raises(BatchRefusedError) as caught:
        ingest(range(4), content)
    problems = [problem for problem in caught.value.report.problems if problem.picture]
    assert sorted(problem.code for problem in problems) == [
        "picture-broken",
        "picture-missing",
        "unsafe-name",
    ]
    assert all(problem.hint for problem in problems)


class TestLabelSchema:
    def test_a_new_class_is_refused_until_somebody_agrees(self, ingest, store):
        ingest(range(4))
        with pytest.raises(BatchRefusedError, match="'gear' is not in the label schema"):
            ingest(range(4, 8), coco_content(range(4, 8), ("bolt", "nut", "gear")))
        assert store.versions() == ("data-v1",)
        agreed = ingest(
            range(4, 8), coco_content(range(4, 8), ("bolt", "nut", "gear")), allow_schema_change=True
        )
        assert agreed.version.class_names == ("bolt", "nut", "gear")

    def test_a_batch_is_refused_for_its_classes_before_a_picture_is_read(self, ingest):
        ingest(range(4))
        read = []
        with pytest.raises(BatchRefusedError, match="'gear' is not in the label schema"):
            ingest(
                range(4, 8),
                coco_content(range(4, 8), ("bolt", "gear")),
                progress=lambda done, total: read.append(done),
            )
        assert read == []

    def test_an_umbrella_category_never_becomes_a_class(self, ingest):
        content = coco_content(range(4))
        for category in content["categories"]:
            category["supercategory"] = "line"
        content["categories"].insert(0, {"id": 0, "name": "line", "supercategory": "none"})
        result = ingest(range(4), content)
        masks = {picture.digest: picture.instances for picture in result.version.pictures}
        assert result.version.class_names == ("bolt", "nut")
        assert [(p.severity, p.code) for p in result.report.problems] == [("info", "category-unused")]
        again = ingest(range(4))
        assert not again.changed
        assert {p.digest: p.instances for p in again.version.pictures} == masks

    def test_a_category_beside_the_configured_classes_that_nothing_uses_is_left_out(self, ingest):
        content = coco_content(range(4))
        content["categories"].append({"id": 9, "name": "line"})
        settings = parse_settings({"classes": ["nut", "bolt"]})
        assert ingest(range(4), content, settings=settings).version.class_names == ("nut", "bolt")

    def test_a_vanished_class_is_refused(self, ingest):
        ingest(range(4))
        with pytest.raises(BatchRefusedError, match="'nut' is missing"):
            ingest(range(4, 8), coco_content(range(4, 8), ("bolt",)))

    def test_categories_in_another_order_mean_the_same_classes(self, ingest):
        ingest(range(4))
        swapped = coco_content(range(4, 8))
        swapped["categories"] = [{"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"}]
        version = ingest(range(4, 8), swapped).version
        new = next(picture for picture in version.pictures if picture.name == "picture_004.png")
        x_of_bolt = {instance.class_index: instance.mask for instance in new.instances}
        old = coco_content(range(4, 8))["annotations"]
        assert version.class_names == ("bolt", "nut")
        assert old[0]["category_id"] == 1
        assert len(x_of_bolt) == 2

    def test_settings_may_reorder_the_classes_when_somebody_agrees(self, ingest):
        first = ingest(range(4)).version
        settings = parse_settings({"classes": ["nut", "bolt"]})
        with pytest.raises(BatchRefusedError, match="lists the classes"):
            ingest(range(4), settings=settings)
        second = ingest(range(4), settings=settings, allow_schema_change=True).version
        diff = compare_versions(first, second)
        assert second.class_names == ("nut", "bolt")
        assert (diff.relabelled, diff.added) == ((), ())

    def test_a_class_with_instances_cannot_be_dropped(self, ingest):
        ingest(range(4))
        settings = parse_settings({"classes": ["bolt"]})
        with pytest.raises(BatchRefusedError, match="instances of nut"):
            ingest(
                range(4, 8), coco_content(range(4, 8), ("bolt",)), settings=settings, allow_schema_change=True
            )


def test_an_annotation_file_that_is_no_coco_is_a_data_error(tmp_path):
    for text in ("", "{", "[]", '{"images": []}', "[" * 100_000):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(DataError):
            read_coco(tmp_path / "a.json")


def test_a_crash_while_staging_leaves_the_previous_version_and_the_next_try_completes(
    ingest, store, monkeypatch
):
    ingest(range(4))

    def pull_the_plug(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dataset.ingestion.ingest.stage", pull_the_plug)
        with pytest.raises(KeyboardInterrupt):
            ingest(range(8))
    assert store.current().tag == "data-v1"
    assert ingest(range(8)).version.tag == "data-v2"


def test_a_name_in_another_unicode_form_or_with_backslashes_finds_its_picture(ingest, tmp_path):
    content = coco_content(range(3))
    folder = tmp_path / "batch" / "images"
    (folder / "left").mkdir(parents=True)
    for number, (on_disk, told) in enumerate(
        [
            ("Pru\u0308fling.png", "Pr\u00fcfling.png"),
            ("\u00d6se.png", "O\u0308se.png"),
            ("left/a.png", "left\\a.png"),
        ]
    ):
        (folder / on_disk).write_bytes(encode_png(noise_pixels(90 + number)))
        content["images"][number]["file_name"] = told
    version = ingest(range(3), content).version
    assert {picture.name for picture in version.pictures} == {one["file_name"] for one in content["images"]}


def test_progress_is_told_picture_by_picture(ingest):
    told = []
    ingest(range(3), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_other_tools_can_read_the_stored_coco_file(ingest):
    version = ingest(range(3)).version
    coco = json.loads((version.root / "instances.json").read_text())
    ids = [record["id"] for record in coco["annotations"]]
    assert ids == list(range(1, 7))
    assert {image["file_name"] for image in coco["images"]} == {p.file for p in version.pictures}
    assert all(set(record["segmentation"]) == {"size", "counts"} for record in coco["annotations"])


class TestPicturesThatTellAPlace:
    """The stored file tells none; where that cannot be, nothing is stored and nothing claimed."""

    def jpeg(self, *, behind=b"", comment=b""):
        file = io.BytesIO()
        Image.fromarray(noise_pixels(1)).save(file, "JPEG", comment=comment)
        return file.getvalue() + behind

    def put(self, tmp_path, data):
        """Write a batch whose second picture is this file."""
        content = coco_content(range(40))
        content["images"][1]["file_name"] = "phone.jpg"
        folder = tmp_path / "batch" / "images"
        folder.mkdir(parents=True)
        (folder / "phone.jpg").write_bytes(data)
        return content

    def test_a_second_still_behind_the_picture_goes(self, ingest, tmp_path):
        data = self.jpeg(behind=self.jpeg(comment=b"GPSLatitude 51.4778"))
        result = ingest(range(40), self.put(tmp_path, data))
        (picture,) = [one for one in result.version.pictures if one.name == "phone.jpg"]
        stored = result.version.path(picture).read_bytes()
        assert [problem.code for problem in result.report.problems] == ["location-removed"]
        assert b"GPS" not in stored
        assert np.array_equal(decode_picture(stored, max_mpx=1), decode_picture(data, max_mpx=1))

    def test_a_place_that_stays_in_the_file_costs_the_picture(self, ingest, tmp_path):
        """It is written into the segment that every JPEG begins with."""
        data = self.jpeg()
        length = int.from_bytes(data[4:6], "big")
        word = b"GPSLatitude 51.4778"
        told = data[:4] + (length + len(word)).to_bytes(2, "big") + data[6 : 4 + length] + word
        result = ingest(range(40), self.put(tmp_path, told + data[4 + length :]))
        assert [(p.code, p.picture) for p in result.report.problems] == [
            ("location-not-removed", "phone.jpg")
        ]
        assert "phone.jpg" not in {picture.name for picture in result.version.pictures}


def test_pictures_of_twelve_bits_in_sixteen_come_first_only_if_their_range_is_stated(ingest, tmp_path):
    content = coco_content(range(4))
    folder = tmp_path / "batch" / "images"
    folder.mkdir(parents=True)
    for number, image in enumerate(content["images"]):
        image["file_name"] = f"deep_{number}.png"
        values = np.random.default_rng(number).integers(0, 4096, (30, 40)).astype(np.uint16)
        Image.fromarray(values).save(folder / f"deep_{number}.png")
    with pytest.raises(BatchRefusedError, match="16 bits are used in 4 pictures"):
        ingest(range(4), content)
    stated = parse_settings({"pictures": {"depth_bits": 16}})
    result = ingest(range(4), content, settings=stated)
    assert (result.report.problems, result.num_added) == ((), 4)


def test_pictures_of_twelve_bits_that_come_later_are_taken_and_told(ingest, tmp_path):
    ingest(range(1))
    content = coco_content(range(1, 2))
    folder = tmp_path / "batch" / "images"
    content["images"][0]["file_name"] = "deep.png"
    values = np.random.default_rng(1).integers(0, 4096, (30, 40)).astype(np.uint16)
    Image.fromarray(values).save(folder / "deep.png")
    (problem,) = ingest(range(1, 2), content).report.problems
    assert (problem.severity, problem.code) == ("warning", "bits-unused")


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_an_animation_is_taken_with_its_first_frame_and_told(ingest, tmp_path, suffix):
    content = coco_content(range(2))
    folder = tmp_path / "batch" / "images"
    folder.mkdir(parents=True)
    for number, image in enumerate(content["images"]):
        image["file_name"] = f"{number}.{suffix}"
        values = np.random.default_rng(number).integers(0, 256, (30, 40, 3)).astype(np.uint8)
        frames = [Image.fromarray(values), Image.fromarray(255 - values)][: 1 + number]
        frames[0].save(folder / image["file_name"], save_all=True, append_images=frames[1:], lossless=True)
    result = ingest(range(2), content)
    (problem,) = result.report.problems
    assert (problem.code, problem.where, result.num_added) == ("frames-unread", f"1.{suffix}", 2)
    assert "the first frame is read of 1 animation" in problem.message
