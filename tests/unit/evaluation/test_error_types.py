import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.average_precision import measure_average_precision
from evaluation.error_types import ERROR_KINDS, class_ap50, measure_error_types
from evaluation.findings import WRONG, Outcome, judge_detections
from evaluation.instances import Detections, GroundTruth
from tests.unit.evaluation.conftest import SIDE_PX, rectangles

A, B, CORNER = (0, 0, 10, 10), (10, 10, 20, 20), (0, 15, 5, 20)
THIRD_OF_A = (0, 0, 3, 10)
BOLT, NUT = 0, 1
NAMES = ("bolt", "nut")


def measure(found, truth):
    return measure_error_types(judge_detections({"a": found}, [truth], class_names=NAMES))


def gains(errors):
    return {kind: round(gain, 9) for kind, gain in errors.gains().items() if gain}


def test_a_model_that_is_right_has_no_errors(annotated, detected):
    errors = measure(detected((BOLT, A, 0.9), (NUT, B, 0.8)), annotated((BOLT, A), (NUT, B)))
    assert errors.ap50.tolist() == [1.0, 1.0]
    assert gains(errors) == {}
    assert set(errors.totals().values()) == {0}


def test_each_error_costs_what_curing_it_gains(annotated, detected):
    """Bolts: both instances found behind one wrong detection, so AP is 2/3 and would be 1 without it."""
    truth = annotated((BOLT, A), (BOLT, B))
    errors = measure(detected((BOLT, CORNER, 0.9), (BOLT, A, 0.8), (BOLT, B, 0.7)), truth)
    assert errors.ap50[BOLT] == pytest.approx(2 / 3)
    assert gains(errors) == {"background": pytest.approx(1 / 3)}
    assert errors.totals() == dict.fromkeys(ERROR_KINDS, 0) | {"background": 1}


def test_a_wrong_class_is_put_right_in_the_class_it_has(annotated, detected):
    """The nut is right once it is called one; the bolts lose a wrong one before a right one."""
    truth = annotated((BOLT, A), (NUT, B))
    errors = measure(detected((BOLT, B, 0.9), (BOLT, A, 0.8)), truth)
    assert errors.ap50.tolist() == [0.5, 0.0]
    assert errors.cured_ap50[ERROR_KINDS.index("class")].tolist() == [1.0, 1.0]
    assert gains(errors) == {"class": 0.75}
    assert errors.counts[ERROR_KINDS.index("class")].tolist() == [1, 0]
    assert errors.totals()["missed"] == 0, "its instance was seen, only misnamed"


def test_of_two_that_would_find_the_same_instance_the_better_one_is_put_right(annotated, detected):
    """The better one has the wrong class: so curing locations alone only drops the other."""
    errors = measure(detected((NUT, A, 0.9), (BOLT, THIRD_OF_A, 0.8)), annotated((BOLT, A)))
    assert gains(errors) == {"class": pytest.approx(1.0)}
    assert errors.totals() == dict.fromkeys(ERROR_KINDS, 0) | {"class": 1, "location": 1}


def test_an_error_at_an_instance_that_was_found_is_only_dropped(annotated, detected):
    errors = measure(detected((NUT, A, 0.9), (BOLT, A, 0.8)), annotated((BOLT, A), (NUT, B)))
    assert errors.cured_ap50[ERROR_KINDS.index("class")].tolist() == [1.0, 0.0]


def test_missed_instances_are_those_nothing_comes_near(annotated, detected):
    errors = measure(detected((BOLT, A, 0.9)), annotated((BOLT, A), (BOLT, B)))
    assert errors.totals() == dict.fromkeys(ERROR_KINDS, 0) | {"missed": 1}
    assert errors.ap50[BOLT] == pytest.approx(51 / 101)
    assert gains(errors) == {"missed": pytest.approx(50 / 101)}


def test_where_everything_was_missed_curing_that_leaves_what_else_is_wrong(annotated, detected):
    assert gains(measure(detected(), annotated((BOLT, A)))) == {"missed": 1.0}
    assert gains(measure(detected((BOLT, CORNER, 0.9)), annotated((BOLT, A)))) == {}


def test_a_class_without_instances_has_no_figures_and_does_not_weigh_in_the_mean(annotated, detected):
    errors = measure(detected((NUT, CORNER, 0.9)), annotated((BOLT, A)))
    assert np.isnan(errors.ap50).tolist() == [False, True]
    assert np.isnan(errors.class_gains()[:, NUT]).all()
    assert gains(errors) == {"missed": 1.0}
    assert np.isnan([*measure(detected(), annotated()).gains().values()]).all()


# --- whatever was detected ----------------------------------------------------------------------------

BOXES = st.tuples(st.integers(0, 17), st.integers(0, 17), st.integers(2, 12), st.integers(2, 12)).map(
    lambda box: (box[0], box[1], min(SIDE_PX, box[0] + box[2]), min(SIDE_PX, box[1] + box[3]))
)
TRUE = st.lists(st.tuples(st.integers(0, 1), BOXES, st.sampled_from([False, False, True])), max_size=5)
SEEN = st.lists(st.tuples(st.integers(0, 1), BOXES, st.integers(0, 100)), max_size=8)


def one_picture(true, seen):
    seen = sorted(seen, key=lambda one: -one[2])
    truth = GroundTruth(
        "a",
        "camera-1",
        SIDE_PX,
        SIDE_PX,
        np.array([index for index, _, _ in true], dtype=np.int64),
        rectangles([box for _, box, _ in true]),
        np.array([is_crowd for _, _, is_crowd in true], dtype=bool),
    )
    found = Detections(
        SIDE_PX,
        SIDE_PX,
        np.array([box for _, box, _ in seen], dtype=np.float32).reshape(-1, 4),
        np.array([score / 100 for _, _, score in seen], dtype=np.float32),
        np.array([index for index, _, _ in seen], dtype=np.int64),
        rectangles([box for _, box, _ in seen]),
    )
    return {"a": found}, [truth]


@given(TRUE, SEEN)
def test_ap_is_that_of_the_report_and_every_wrong_detection_and_missed_instance_is_counted(true, seen):
    pictures = one_picture(true, seen)
    findings = judge_detections(*pictures, class_names=NAMES)
    errors = measure_error_types(findings)
    reported = measure_average_precision(*pictures, class_names=NAMES, kind="segm").class_ap50()
    assert np.allclose(errors.ap50, reported, atol=1e-12, equal_nan=True)
    totals = errors.totals()
    num_right = int((findings.outcomes == Outcome.RIGHT).sum())
    num_forgiven = int((findings.outcomes == Outcome.FORGIVEN).sum())
    assert sum(totals[kind.name.lower()] for kind in WRONG) == len(seen) - num_right - num_forgiven
    assert totals["missed"] <= len(findings.truth_classes) - num_right


@given(TRUE, SEEN)
def test_curing_everything_leaves_nothing_to_gain(true, seen):
    findings = judge_detections(*one_picture(true, seen), class_names=NAMES)
    cured = class_ap50(findings, cured=ERROR_KINDS)
    assert np.allclose(cured[np.isfinite(cured)], 1.0)
    assert np.array_equal(np.isfinite(cured), findings.num_instances() > 0)


@given(TRUE, SEEN)
def test_no_cure_makes_it_worse(true, seen):
    errors = measure_error_types(judge_detections(*one_picture(true, seen), class_names=NAMES))
    known = errors.class_gains()[:, np.isfinite(errors.ap50)]
    assert (known >= -1e-9).all()
