import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.coco.document import CocoFile, read_coco
from dataset.coco.listing import picture_names
from dataset.coco.validation import validate_batch
from dataset.problems import DataProblem
from maskloop.errors import DataError, NotFoundError
from maskloop.masks import encode_masks
from tests.fakes.coco_batches import HEIGHT_PX, WIDTH_PX, annotation, coco_content, rectangle
from tests.fakes.judging import codes, found_picture, judge


@pytest.fixture
def content():
    """Three pictures, each with a bolt and a nut; nothing is wrong."""
    return coco_content(range(1, 4))


def test_a_clean_batch_has_no_problems(content, tmp_path):
    report = judge(content, tmp_path)
    assert report.problems == ()
    assert (report.class_names, report.instances_per_class) == (("bolt", "nut"), (3, 3))
    assert report.quarantined_percent == 0.0


BAD_ANNOTATIONS = {
    "unknown-category": {"category_id": 9},
    "bad-iscrowd": {"iscrowd": "maybe"},
    "no-mask": {"segmentation": [], "bbox": [float("inf")] * 4},
    "mask-outside-picture": {"segmentation": rectangle(x=35, width=20)},
    "bad-mask": {"segmentation": [[0, 0, float("nan"), 4, 4, 4]]},
    "empty-mask": {"segmentation": {"size": [HEIGHT_PX, WIDTH_PX], "counts": [HEIGHT_PX * WIDTH_PX]}},
}


@pytest.mark.parametrize("code", BAD_ANNOTATIONS)
def test_a_bad_annotation_quarantines_its_picture_and_no_other(code, content, tmp_path):
    content["annotations"][2] |= BAD_ANNOTATIONS[code]
    report = judge(content, tmp_path)
    assert codes(report, "error") == [code]
    assert report.quarantined == ("picture_002.png",)
    assert [picture.found.name for picture in report.usable] == ["picture_001.png", "picture_003.png"]
    assert report.problems[0].where == "/annotations/2"
    assert report.problems[0].hint
    assert report.blocking == ()


BAD_MASKS = [
    {"size": [HEIGHT_PX, WIDTH_PX], "counts": [5, 5]},
    {"size": [HEIGHT_PX + 1, WIDTH_PX], "counts": [HEIGHT_PX * WIDTH_PX + WIDTH_PX]},
    {"size": [HEIGHT_PX, WIDTH_PX], "counts": "P"},
    {"size": [2**20, 2**20], "counts": "01"},
    [[0, 0, None, 0, 10, 10]],
    [[1, 2, 3, 4]],
    [1, 2, 3, 4, 5],
    "polygon",
]


@pytest.mark.parametrize("mask", BAD_MASKS)
def test_masks_that_would_crash_or_hang_native_code_are_refused(mask, content, tmp_path):
    content["annotations"][0]["segmentation"] = mask
    report = judge(content, tmp_path)
    assert codes(report) == ["bad-mask"]
    assert report.problems[0].hint


HARMLESS = {
    "annotation-id-0": {"id": 0},
    "annotation-id-twice": {"id": 2},
    "bad-box": {"bbox": [float("inf"), 0, 1, 1]},
    "odd-iscrowd": {"iscrowd": False},
    "text-id": {"image_id": "1"},
}


@pytest.mark.parametrize("code", [code for code in HARMLESS if code != "text-id"])
def test_harmless_oddities_are_put_right_and_told(code, content, tmp_path):
    content["annotations"][0] |= HARMLESS[code]
    report = judge(content, tmp_path)
    assert codes(report) == [code]
    assert len(report.usable) == 3


def test_a_missing_iscrowd_means_no_crowd(content, tmp_path):
    for record in content["annotations"]:
        del record["iscrowd"]
    report = judge(content, tmp_path)
    assert [str(problem) for problem in report.problems] == [
        "info: /annotations/0: iscrowd is missing or not a number; read all the same (and 5 more like this)"
    ]
    assert not any(instance.is_crowd for picture in report.usable for instance in picture.instances)


def test_ids_as_text_are_matched_all_the_same(content, tmp_path):
    content["images"][0]["id"] = "1"
    report = judge(content, tmp_path)
    assert codes(report) == ["text-id"]
    assert report.instances_per_class == (3, 3)


def test_a_negative_box_is_only_a_warning_because_boxes_come_from_masks(content, tmp_path):
    content["annotations"][0]["bbox"] = [3, 3, -5, 5]
    assert codes(judge(content, tmp_path), "warning") == ["bad-box"]


def test_a_picture_without_objects_is_fine(content, tmp_path):
    content["images"].append({"id": 9, "file_name": "empty.png", "width": WIDTH_PX, "height": HEIGHT_PX})
    report = judge(content, tmp_path)
    assert report.problems == ()
    assert report.usable[-1].instances == ()


def test_category_ids_may_start_at_0_and_have_gaps(content, tmp_path):
    content["categories"] = [{"id": 41, "name": "nut"}, {"id": 0, "name": "bolt"}]
    for record in content["annotations"]:
        record["category_id"] = {1: 0, 2: 41}[record["category_id"]]
    report = judge(content, tmp_path)
    assert (report.class_names, report.problems) == (("bolt", "nut"), ())


def test_the_expected_class_order_wins_over_category_ids(content, tmp_path):
    report = judge(content, tmp_path, class_names=("nut", "bolt"))
    assert report.class_names == ("nut", "bolt")
    first = report.usable[0].instances[0]
    assert first.class_index == 1


def test_two_categories_of_one_name_block_the_batch(content, tmp_path):
    content["categories"][1]["name"] = "bolt\n"
    report = judge(content, tmp_path)
    assert [problem.code for problem in report.blocking] == ["category-name-twice"]
    assert "category-name-trimmed" in codes(report, "warning")


def test_a_class_without_instances_is_a_warning(content, tmp_path):
    content["categories"].append({"id": 3, "name": "gear"})
    assert codes(judge(content, tmp_path)) == ["class-without-instances"]


@pytest.mark.parametrize("missing", ["images", "annotations"])
def test_a_batch_of_nothing_is_blocked(missing, content, tmp_path):
    content[missing] = []
    assert judge(content, tmp_path).blocking


def test_a_picture_id_used_twice_quarantines_both(content, tmp_path):
    content["images"][1]["id"] = 1
    report = judge(content, tmp_path)
    assert report.quarantined == ("picture_001.png", "picture_002.png")


def test_a_picture_listed_twice_is_quarantined(content, tmp_path):
    content["images"][1]["file_name"] = "picture_001.png"
    assert judge(content, tmp_path).quarantined == ("picture_001.png",)


def test_what_the_gatherer_could_not_read_is_quarantined_with_its_reason(content, tmp_path):
    missing = DataProblem("error", "picture-missing", "picture_002.png", "it is not there")
    report = judge(content, tmp_path, {"picture_002.png": missing})
    assert codes(report, "error") == ["picture-missing"]
    assert report.quarantined == ("picture_002.png",)


def test_the_same_picture_twice_is_kept_once(content, tmp_path):
    content["annotations"][2]["segmentation"] = content["annotations"][0]["segmentation"]
    content["annotations"][3]["segmentation"] = content["annotations"][1]["segmentation"]
    same = {name: found_picture(name, digest="same") for name in ("picture_001.png", "picture_002.png")}
    report = judge(content, tmp_path, same)
    assert codes(report) == ["picture-twice"]
    assert len(report.usable) == 2


def test_the_same_picture_with_other_labels_is_left_out_both_times(content, tmp_path):
    same = {name: found_picture(name, digest="same") for name in ("picture_001.png", "picture_002.png")}
    report = judge(content, tmp_path, same)
    assert report.quarantined == ("picture_001.png", "picture_002.png")


def test_one_object_annotated_twice_counts_once(content, tmp_path):
    content["annotations"].append({**content["annotations"][0], "id": 77})
    report = judge(content, tmp_path)
    assert codes(report) == ["instance-twice"]
    assert report.instances_per_class == (3, 3)


def test_compressed_and_uncompressed_masks_come_out_the_same(content, tmp_path):
    mask = np.zeros((1, HEIGHT_PX, WIDTH_PX), dtype=bool)
    mask[0, 3:11, 4:14] = True
    (rle,) = encode_masks(mask)
    flat = mask[0].T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat))))
    counts = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    spellings = [rle.to_coco(), {"size": [HEIGHT_PX, WIDTH_PX], "counts": counts}, rectangle()]
    masks = []
    for spelling in spellings:
        content["annotations"][0]["segmentation"] = spelling
        masks.append(judge(content, tmp_path).usable[0].instances[0].mask)
    assert masks[0] == masks[1] == masks[2]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["1", "picture_001.png", "bolt", "", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "image_id", "category_id", "file_name", "segmentation", "size", "name"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(images=st.lists(ANYTHING), annotations=st.lists(ANYTHING), categories=st.lists(ANYTHING))
def test_no_content_whatever_raises(images, annotations, categories, tmp_path_factory):
    coco = CocoFile(tmp_path_factory.getbasetemp(), tuple(images), tuple(annotations), tuple(categories))
    report = validate_batch(coco, {name: found_picture(name) for name in picture_names(coco)})
    assert report.blocking or report.usable or report.quarantined


@settings(max_examples=150, deadline=None)
@given(field=st.sampled_from(sorted(annotation(1, 1))), value=ANYTHING, picture=st.booleans())
def test_no_single_odd_value_raises_or_costs_more_than_its_picture(field, value, picture):
    content = coco_content(range(1, 4))
    if picture:
        content["images"][0][field] = value
    else:
        content["annotations"][0][field] = value
    images, annotations = tuple(content["images"]), tuple(content["annotations"])
    coco = CocoFile(Path("a.json"), images, annotations, tuple(content["categories"]))
    report = validate_batch(coco, {name: found_picture(name) for name in picture_names(coco)})
    assert len(report.usable) >= 1
    assert [problem.code for problem in report.blocking if field not in ("id", "image_id")] == []


@pytest.mark.parametrize(
    "text", ["", "  \n", "{", "[]", "3", '{"images": [], "annotations": []}', "[" * 99_999]
)
def test_a_file_that_is_no_coco_is_a_data_error_with_its_place(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError) as caught:
        read_coco(tmp_path / "a.json")
    assert caught.value.where.endswith("a.json")


def test_a_missing_file_is_not_found_and_a_binary_one_is_a_data_error(tmp_path):
    with pytest.raises(NotFoundError, match="does not exist"):
        read_coco(tmp_path / "none.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        read_coco(tmp_path / "b.json")


def test_a_byte_order_mark_is_read_over(tmp_path):
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(coco_content(range(2))), encoding="utf-8")
    assert len(read_coco(tmp_path / "a.json").images) == 2
