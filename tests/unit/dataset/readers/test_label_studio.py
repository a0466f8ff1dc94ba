"""Label Studio's JSON: which annotation counts, where its pictures are, and what is no mask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.coco.document import CocoFile
from dataset.formats.port import LabelSource
from dataset.pictures.decoding import encode_png
from dataset.readers.table import read_labels
from maskloop.errors import DataError
from maskloop.masks import decode_masks, rle_from_coco
from tests.fakes.coco_batches import noise_pixels
from tests.fakes.label_studio_files import annotation, bitmasked, brushed, minimal, region, task

SIZE_WH = (40, 30)
SQUARE = [[10.0, 20.0], [50.0, 20.0], [50.0, 60.0], [10.0, 60.0]]
"""In per cent of 40 x 30 px: columns 4 to 19, rows 6 to 17."""


def square(number: int = 1, label: str = "bolt", **value: Any) -> dict[str, Any]:
    return region(number, "polygon", label, SIZE_WH, points=SQUARE, closed=True, **value)


def write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content))


def read(folder: Path, *tasks: dict[str, Any], pictures: tuple[str, ...] = ("a.png",)) -> CocoFile:
    for name in pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_png(noise_pixels(1)))
    (folder / "export.json").write_text(json.dumps(tasks))
    return read_labels(LabelSource(folder))


def mask_of(coco: CocoFile, number: int = 0) -> np.ndarray:
    (mask,) = decode_masks([rle_from_coco(coco.annotations[number]["segmentation"], 30, 40)])
    return np.asarray(mask)


def test_outlines_are_per_cents_of_the_upright_picture(tmp_path: Path) -> None:
    coco = read(tmp_path, task(1, "a.png", annotation(1, [square()])))
    (image,) = coco.images
    assert image.pop("origin")["tool"] == "Label Studio"
    assert image == {"id": 1, "file_name": "a.png", "height": 30, "width": 40, "frame": "upright"}
    rows, columns = np.nonzero(mask_of(coco))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 17, 4, 19)
    assert (coco.read_as, coco.problems, coco.declares_classes) == ("Label Studio JSON", (), False)


def test_who_labelled_what_and_when_stays_with_the_annotation_under_the_tools_own_number(
    tmp_path: Path,
) -> None:
    by = {"id": 7, "email": "ana@example.org", "first_name": "Ana"}
    coco = read(tmp_path, task(5, "a.png", annotation(3, [square()], by)))
    assert coco.annotations[0]["origin"] == {
        "tool": "Label Studio",
        "task": "5",
        "annotator": "7",
        "time": "2026-01-03T10:00:00.000000Z",
    }


def test_who_found_no_object_in_a_picture_stays_with_the_picture(tmp_path: Path) -> None:
    coco = read(
        tmp_path, task(5, "a.png", annotation(3, [], 7)), task(6, "b.png", annotation(4, [square()], 8))
    )
    assert [image["origin"]["annotator"] for image in coco.images] == ["7", "8"]


class TestSeveralAnnotations:
    def chosen(self, folder: Path, *annotations: dict[str, Any]) -> tuple[str, CocoFile]:
        coco = read(folder, task(1, "a.png", *annotations))
        (category,) = coco.categories
        return category["name"], coco

    def test_the_newest_counts_and_both_people_are_named(self, tmp_path: Path) -> None:
        late, early = (
            annotation(9, [square(label="late")], "ana"),
            annotation(2, [square(label="early")], "bo"),
        )
        name, coco = self.chosen(tmp_path, late, early)
        assert name == "late"
        (told,) = coco.problems
        assert (told.severity, told.code, told.example) == ("warning", "two-annotators", "a.png")
        assert "that by ana counts, because it is the newest; left out: by bo" in told.message
        assert "mark it as ground truth" in told.hint

    def test_one_that_is_marked_as_ground_truth_comes_before_a_newer_one(self, tmp_path: Path) -> None:
        truth = annotation(2, [square(label="truth")], ground_truth=True)
        assert self.chosen(tmp_path, annotation(9, [square(label="late")]), truth)[0] == "truth"

    def test_one_that_was_cancelled_does_not_count(self, tmp_path: Path) -> None:
        cancelled = annotation(9, [square(label="late")], was_cancelled=True)
        name, coco = self.chosen(tmp_path, cancelled, annotation(2, [square(label="early")]))
        assert (name, coco.problems) == ("early", ())


def test_predictions_and_drafts_are_no_labels_and_their_pictures_are_left_out(tmp_path: Path) -> None:
    guess = {"result": [square(label="guess")], "score": 0.9}
    unlabelled = task(2, "b.png", predictions=[guess], drafts=[guess])
    cancelled = task(3, "c.png", annotation(1, [square()], was_cancelled=True))
    coco = read(tmp_path, task(1, "a.png", annotation(1, [square()])), unlabelled, cancelled)
    assert [each["file_name"] for each in coco.images] == ["a.png"]
    (told,) = coco.problems
    assert told.code == "tasks-unlabelled"
    assert told.message.startswith("2 tasks without a finished annotation")


def test_an_annotation_without_regions_is_a_picture_without_objects(tmp_path: Path) -> None:
    empty = task(2, "b.png", annotation(1, []))
    coco = read(tmp_path, task(1, "a.png", annotation(1, [square()])), empty)
    assert [each["file_name"] for each in coco.images] == ["a.png", "b.png"]
    assert [each["image_id"] for each in coco.annotations] == [1]


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        ("/data/upload/1/0a1b2c3d-a.png", "0a1b2c3d-a.png"),
        ("/data/upload/1/0a1b2c3d-a.png", "a.png"),
        ("/data/local-files/?d=photos/line%201/a.png", "photos/line 1/a.png"),
        ("/data/local-files/?d=photos/line%201/a.png", "line 1/a.png"),
        ("/data/local-files/?d=photos/line%201/a.png", "a.png"),
        ("http://localhost:9/photos/a%20b.png?token=x", "a b.png"),
        ("s3://bucket/line/a.png", "line/a.png"),
        ("C:\\photos\\a.png", "a.png"),
    ],
)
def test_a_picture_is_found_by_its_address(address: str, stored: str, tmp_path: Path) -> None:
    coco = read(tmp_path / "x", task(1, address, annotation(1, [square()])), pictures=(stored,))
    assert [each["file_name"] for each in coco.images] == [stored]
    assert coco.images_dir == tmp_path / "x"


def test_each_picture_is_found_in_its_own_way(tmp_path: Path) -> None:
    uploads = [f"/data/upload/1/0a1b2c3d-{name}.png" for name in "abc"]
    tasks = [task(number, name, annotation(1, [square()])) for number, name in enumerate(uploads)]
    coco = read(tmp_path, *tasks, pictures=("0a1b2c3d-a.png", "0a1b2c3d-b.png", "c.png"))
    assert [each["file_name"] for each in coco.images] == ["0a1b2c3d-a.png", "0a1b2c3d-b.png", "c.png"]


def test_the_picture_is_the_value_that_looks_like_one(tmp_path: Path) -> None:
    data = {"note": "read me", "photo": "a.png", "thumbnail": None}
    coco = read(tmp_path, task(1, "", annotation(1, [square()]), data=data))
    assert coco.images[0]["file_name"] == "a.png"


def test_regions_with_one_parent_stay_objects_of_their_own(tmp_path: Path) -> None:
    regions = [{**square(number), "parentID": "p"} for number in (1, 2)]
    assert len(read(tmp_path, task(1, "a.png", annotation(1, regions))).annotations) == 2


def test_a_region_and_its_label_may_be_results_of_their_own(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), bool)
    mask[3:9, 2:6] = True
    drawn = brushed(1, "unused", mask)
    value = {key: drawn["value"][key] for key in ("format", "rle")}
    brush = {**drawn, "type": "brush", "value": value}
    label = {**drawn, "type": "labels", "value": {**value, "labels": ["nut"]}}
    remark = {**drawn, "type": "choices", "value": {**value, "choices": ["blurred"]}}
    coco = read(tmp_path, task(1, "a.png", annotation(1, [brush, label, remark])))
    assert [each["name"] for each in coco.categories] == ["nut"]
    assert len(coco.annotations) == 1
    assert np.array_equal(mask_of(coco), mask)


def test_what_is_said_of_a_whole_picture_is_no_object(tmp_path: Path) -> None:
    choice = {"id": "c", "type": "choices", "value": {"choices": ["blurred"]}, "from_name": "quality"}
    relation = {"type": "relation", "from_id": "r1", "to_id": "r2"}
    coco = read(tmp_path, task(1, "a.png", annotation(1, [square(), choice, relation])))
    assert (len(coco.annotations), coco.problems) == (1, ())


def test_an_ellipse_is_the_pixels_inside_it(tmp_path: Path) -> None:
    round_one = region(1, "ellipse", "bolt", SIZE_WH, x=50, y=50, radiusX=25, radiusY=20, rotation=0)
    rows, columns = np.nonzero(mask_of(read(tmp_path, task(1, "a.png", annotation(1, [round_one])))))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (9, 20, 10, 29)


BAD_REGIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a rectangle": (region(1, "rectangle", "bolt", SIZE_WH, x=1, y=1, width=9, height=9), "no-mask"),
    "a keypoint": (region(1, "keypoint", "bolt", SIZE_WH, x=1, y=1, width=1), "no-mask"),
    "a brush mask of another size": (brushed(1, "bolt", np.ones((3, 3), bool)), "size-mismatch"),
    "a broken brush mask": (region(1, "brush", "bolt", SIZE_WH, rle=[1, 2, 3]), "bad-region"),
    "no label": (region(1, "polygon", "", SIZE_WH, points=SQUARE), "bad-region"),
    "two labels": ({**square(), "value": {**square()["value"], "polygonlabels": ["a", "b"]}}, "bad-region"),
    "no size": ({**square(), "original_width": None}, "bad-region"),
    "a picture turned in the editor": ({**square(), "image_rotation": 90}, "bad-region"),
    "another picture of the task": ({**square(), "item_index": 1}, "bad-region"),
    "points that are none": (region(1, "polygon", "bolt", SIZE_WH, points=[[1], "x"]), "bad-region"),
    "numbers that are none": (region(1, "polygon", "bolt", SIZE_WH, points=[[1, None]] * 3), "bad-region"),
}


@pytest.mark.parametrize("what", BAD_REGIONS)
def test_a_region_that_is_no_mask_costs_its_picture_alone(what: str, tmp_path: Path) -> None:
    bad, code = BAD_REGIONS[what]
    coco = read(
        tmp_path, task(1, "a.png", annotation(1, [square(8), bad])), task(2, "b.png", annotation(1, []))
    )
    errors = [problem for problem in coco.problems if problem.severity == "error"]
    assert [(each.code, each.picture) for each in errors] == [(code, "a.png")]
    assert errors[0].where.startswith("task 1")
    assert [each["file_name"] for each in coco.images] == ["a.png", "b.png"]


def test_a_file_of_a_target_storage_is_a_task_with_one_annotation(tmp_path: Path) -> None:
    content = {**annotation(1, [square()]), "task": {"id": 4, "data": {"image": "a.png"}}}
    (tmp_path / "17").write_text(json.dumps(content))
    (tmp_path / "18").write_text(json.dumps({**content, "task": {"id": 5, "data": {"image": "b.png"}}}))
    coco = read_labels(LabelSource(tmp_path))
    assert [each["file_name"] for each in coco.images] == ["a.png", "b.png"]
    assert [each["origin"]["task"] for each in coco.annotations] == ["4", "5"]


@pytest.mark.parametrize("content", ["[]", "[1, null]", '{"data": {}}', '[{"data": 1, "annotations": []}]'])
def test_what_holds_no_task_is_refused_when_named_so(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match="no tasks of Label Studio"):
        read_labels(LabelSource(tmp_path / "a.json"), key="label-studio")


class TestTheAnnotatorAPersonNames:
    def two(self, folder: Path, annotator: str) -> CocoFile:
        ada = {"id": 7, "email": "ada@example.org", "first_name": "Ada", "last_name": "Byron"}
        ben = {"id": 8, "email": "ben@example.org"}
        annotations = annotation(1, [square(label="bolt")], ada), annotation(2, [square(label="nut")], ben)
        write_json(folder / "tasks.json", [task(1, "a.png", *annotations)])
        return read_labels(LabelSource(folder, annotator=annotator))

    @pytest.mark.parametrize("name", ["ada@example.org", "7", "Ada Byron", " ADA@example.org"])
    def test_counts_before_a_newer_annotation(self, tmp_path: Path, name: str) -> None:
        coco = self.two(tmp_path, name)
        assert coco.categories == ({"id": 1, "name": "bolt"},)
        (problem,) = coco.problems
        assert (
            "by ada@example.org counts, because you named them; left out: by ben@example.org"
            in problem.message
        )

    def test_that_nobody_is_called_is_refused_with_those_who_are_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no annotation is by 'eve'") as refused:
            self.two(tmp_path, "eve")
        assert "ada@example.org, ben@example.org" in refused.value.hint

    def test_leaves_pictures_of_others_to_the_usual_rule(self, tmp_path: Path) -> None:
        tasks = [
            task(
                1, "a.png", annotation(1, [square(label="bolt")], 7), annotation(2, [square(label="nut")], 8)
            ),
            task(2, "b.png", annotation(3, [square(label="gear")], 8)),
        ]
        write_json(tmp_path / "tasks.json", tasks)
        coco = read_labels(LabelSource(tmp_path, annotator="7"))
        assert [one["origin"]["annotator"] for one in coco.annotations] == ["7", "8"]

    def test_is_no_question_of_a_format_with_one_annotation_a_picture(self, tmp_path: Path) -> None:
        write_json(tmp_path / "a.json", {"images": [], "annotations": [], "categories": []})
        with pytest.raises(DataError, match="COCO holds one annotation of each picture"):
            read_labels(LabelSource(tmp_path, annotator="7"))


class TestJsonMin:
    def read(self, folder: Path, *records: dict[str, Any]) -> CocoFile:
        write_json(folder / "project.json", [*records])
        return read_labels(LabelSource(folder))

    def test_of_two_records_of_a_task_the_newer_counts(self, tmp_path: Path) -> None:
        records = [
            minimal(1, "a.png", number, [square(label=name)], by)
            for number, name, by in ((1, "bolt", 7), (2, "nut", 8))
        ]
        coco = self.read(tmp_path, *records)
        assert [category["name"] for category in coco.categories] == ["nut"]
        assert {problem.code for problem in coco.problems} == {"two-annotators", "json-min"}

    def test_a_task_nobody_annotated_is_left_out(self, tmp_path: Path) -> None:
        coco = self.read(tmp_path, minimal(1, "a.png", 1, [square()]), minimal(2, "b.png", None, []))
        assert [image["file_name"] for image in coco.images] == ["a.png"]
        assert "tasks-unlabelled" in {problem.code for problem in coco.problems}

    def test_a_shape_that_a_second_control_repeats_with_its_label_is_one_object(self, tmp_path: Path) -> None:
        record = minimal(1, "a.png", 1, [square(label="nut")])
        (value,) = record["label"]
        record["outline"] = [{key: each for key, each in value.items() if not key.endswith("labels")}]
        coco = self.read(tmp_path, record)
        assert len(coco.annotations) == 1
        assert [problem.code for problem in coco.problems] == ["json-min"]


class TestBitmasks:
    def refused(self, folder: Path, **value: Any) -> str:
        bad = bitmasked(1, "nut", np.ones((30, 40), bool))
        bad["value"] |= value
        coco = read(folder, task(1, "a.png", annotation(1, [bad])))
        (problem,) = coco.problems
        assert problem.code == "bad-region"
        return problem.message

    def test_a_mask_is_read_to_the_pixel(self, tmp_path: Path) -> None:
        drawn = np.zeros((30, 40), bool)
        drawn[3:9, 4:30] = True
        drawn[5, 7] = False
        coco = read(tmp_path, task(1, "a.png", annotation(1, [bitmasked(1, "nut", drawn)])))
        assert np.array_equal(mask_of(coco), drawn)

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("", "not a PNG in a data URL"),
            ("https://example.org/a.png", "not a PNG in a data URL"),
            ("data:image/png;base64,abc", "broken"),
            ("data:image/png;base64,AAAA", "this is no JPEG, PNG"),
        ],
    )
    def test_what_is_no_png_costs_its_picture(self, tmp_path: Path, address: str, message: str) -> None:
        assert message in self.refused(tmp_path, imageDataURL=address)

    def test_a_mask_of_another_size_costs_its_picture(self, tmp_path: Path) -> None:
        other = bitmasked(1, "nut", np.ones((20, 20), bool))["value"]["imageDataURL"]
        assert "20 x 20 px lies on a picture of 40 x 30 px" in self.refused(tmp_path, imageDataURL=other)
