import json

import pytest

from evaluation.model_evaluation import evaluate

A, B, CORNER = (0, 0, 10, 10), (10, 10, 20, 20), (0, 15, 5, 20)


@pytest.fixture
def evaluation(annotated, detected):
    truths = [
        annotated((0, A), (0, B), picture_id="one", source="camera-1"),
        annotated((0, A), picture_id="two", source="camera-2"),
    ]
    found = {
        "one": detected((0, A, 0.9), (1, CORNER, 0.8), (0, B, 0.3)),
        "two": detected((0, (0, 0, 5, 10), 0.7), (0, CORNER, 0.6)),
    }
    return evaluate(found, truths, class_names=("bolt", "nut"), score_threshold=0.5)


def test_the_row_of_a_class_holds_all_its_figures(evaluation):
    row = evaluation.rows()[0]
    assert row["class_name"] == "bolt"
    assert (row["num_instances"], row["num_pictures"]) == (3, 2)
    assert row["mask_iou"] == pytest.approx(1.5 / 3)
    assert row["precision"] == pytest.approx(2 / 3)
    assert row["recall"] == pytest.approx(2 / 3)
    assert row["false_positives_per_true_positive"] == pytest.approx(1 / 2)
    assert row["mask_ap50"] > row["mask_ap"] > 0
    assert row["best_f1_score"] == pytest.approx(0.3)
    assert row["calibration_error"] == pytest.approx((0.1 + 0.3 + 0.6 + 0.7) / 4)


def test_a_class_nobody_annotated_has_none_in_json_and_not_zero_or_one(evaluation):
    row = evaluation.to_json()["classes"][1]
    undefined = ("mask_iou", "recall", "mask_ap", "mask_ap50", "box_ap", "best_f1", "best_f1_score")
    assert {row[name] for name in undefined} == {None}
    assert row["precision"] == 0.0
    assert row["num_instances"] == 0


def test_json_holds_no_nan_and_comes_back_as_it_went(evaluation):
    plain = evaluation.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["num_pictures"] == evaluation.num_pictures == 2
    assert plain["mean_class_iou"] == pytest.approx(0.5)
    assert plain["mask_ap"]["AP_large"] is None
    assert plain["confusion"]["labels"] == ["bolt", "nut", "background"]


def test_every_class_and_kind_of_error_has_a_row(evaluation):
    rows = {(row["class_name"], row["kind"]): row for row in evaluation.error_rows()}
    assert len(rows) == 2 * 6
    assert rows["bolt", "background"]["count"] == 1
    assert rows["bolt", "missed"] == {"class_name": "bolt", "kind": "missed", "count": 0, "ap50_gain": 0.0}
    assert rows["nut", "background"] == {
        "class_name": "nut",
        "kind": "background",
        "count": 1,
        "ap50_gain": None,
    }
    plain = evaluation.to_json()
    assert plain["errors"]["counts"]["background"] == 2
    assert plain["errors"]["ap50_gains"]["background"] == rows["bolt", "background"]["ap50_gain"]
    assert plain["calibration"]["bins"][-1]["num_detections"] >= 1


def test_each_source_is_seen_alone(evaluation):
    sources = evaluation.to_json()["class_iou_by_source"]
    assert sources["camera-1"]["bolt"] == pytest.approx(0.5)
    assert sources["camera-2"] == {"bolt": pytest.approx(0.5), "nut": None}


def test_a_silent_model_has_zero_iou_and_no_precision(annotated, detected):
    result = evaluate({"a": detected()}, [annotated((0, A))], class_names=("bolt",), score_threshold=0.5)
    row = result.rows()[0]
    assert (row["mask_iou"], row["recall"], row["mask_ap"]) == (0.0, 0.0, 0.0)
    assert row["precision"] is None
    assert row["false_positives_per_true_positive"] is None


def test_no_pictures_leave_every_figure_undefined():
    plain = evaluate({}, [], class_names=("bolt",), score_threshold=0.5).to_json()
    assert plain["mean_class_iou"] is None
    assert plain["classes"][0]["mask_iou"] is None
    assert set(plain["mask_ap"].values()) == {None}


def test_progress_ends_at_the_total(annotated, detected):
    seen = []
    evaluate(
        {"a": detected()},
        [annotated()],
        class_names=("bolt",),
        score_threshold=0.5,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (5, 5)
