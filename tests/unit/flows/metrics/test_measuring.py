from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.metrics.figure import Figure, Gathered
from flows.metrics.measuring import measure
from maskloop.records.kinds import (
    Check,
    CheckedQuality,
    DriftJudged,
    QualityEstimate,
    QualityMeasured,
    VerdictReached,
)
from maskloop.settings.workspace_settings import parse_settings
from monitoring.samples.corrections import Judged
from registry.evidence.diagnosis import ClassFindings, Diagnosis
from registry.evidence.judged_evidence import ClassRow, JudgedEvidence, Latency
from serving.telemetry.reading import Gpu, Requests, ServiceFigures
from tests.fakes.records import with_only

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = parse_settings({"gates": {"class_iou_floors": {"nut": 0.5}}})


NO_LABELS = "no labels of pictures drawn at random from production yet"


def figures(**found: Any) -> dict[str, Figure]:
    return {one.id: one for one in measure(Gathered(NOON, SETTINGS, **found))}


def check(gate: str, subject: str, measured: float) -> Check:
    return Check(
        name=gate, outcome="pass", measured=measured, required=0.5, reason="", gate=gate, subject=subject
    )


def row(name: str, iou: float, before: float | None) -> ClassRow:
    return ClassRow(name, 30, iou, iou - 0.1, iou + 0.1, before, None, None, None, 0.6, "pass")


def diagnosis(**precisions: float | None) -> Diagnosis:
    classes = tuple(ClassFindings(name, 30, one, 0.9, 0.9, 0.5) for name, one in precisions.items())
    return Diagnosis(0.9, {}, {}, 0.1, 0.0, (), (), (), (), classes)


SERVICE = ServiceFigures(
    began_at_s=(NOON - timedelta(seconds=200)).timestamp(),
    champion="2",
    latency_s={
        "1": [(0.1, 100.0), (math.inf, 100.0)],
        "2": [(0.2, 90.0), (0.4, 100.0), (math.inf, 100.0)],
    },
    requests={"1": Requests(100, 0, 0), "2": Requests(100, 2, 6), "": Requests(200, 0, 0)},
    memory_bytes={"17": 950.0 * 2**20},
)
CHAMPION: dict[str, Any] = {
    "champion": "2",
    "judged_at": NOON,
    "verdict": with_only(
        VerdictReached,
        data_tag="data-v2",
        checks=(
            check("iou.mean", "", 0.75),
            check("iou.class", "bolt", 0.9),
            check("iou.class", "nut", 0.55),
            check("false_positives", "", 0.2),
        ),
    ),
    "evidence": JudgedEvidence(
        blessing_id="b",
        rows=(row("bolt", 0.9, 0.8), row("nut", 0.55, 0.7)),
        confidence=0.95,
        pictures=(),
        data=None,
        candidate=Latency(20.0, 50.0),
        champion=None,
        machine="a CPU",
        num_pictures=40,
        candidate_diagnosis=diagnosis(bolt=0.8, nut=0.5),
        champion_diagnosis=diagnosis(bolt=0.5),
    ),
}


def judged(minutes: int, score: float | None, outcome: str = "quiet") -> tuple[datetime, DriftJudged]:
    record = with_only(DriftJudged, score=score, outcome=outcome, num_samples=120)
    return NOON - timedelta(minutes=minutes), record


def test_all_ten_are_there_under_their_names_and_none_is_a_zero_where_nothing_was_measured() -> None:
    found = measure(Gathered(NOON, SETTINGS, why_no_service="no service of this workspace runs here"))
    assert [(one.id, one.name) for one in found] == [
        ("M1", "p95 latency"),
        ("M2", "p50 latency"),
        ("M3", "Throughput RPS"),
        ("M4", "Mean mask IoU"),
        ("M5", "Per-class IoU"),
        ("M6", "Model error rate"),
        ("M7", "GPU utilization"),
        ("M8", "Memory usage"),
        ("M9", "Model drift score"),
        ("M10", "FP/TP ratio"),
    ]
    assert {one.id for one in found if one.readings} == set()
    assert all(one.missing and one.how_to_get and one.target and one.source for one in found)
    assert all(one.is_met is None for one in found)
    by_id = {one.id: one for one in found}
    assert by_id["M7"].missing == "no GPU"
    assert by_id["M1"].missing == "no service of this workspace runs here"
    assert by_id["M4"].missing == "nothing serves yet"


def test_latency_is_told_by_version_with_its_tail_and_what_the_model_alone_took() -> None:
    found = figures(service=SERVICE, **CHAMPION)
    champion, old = found["M1"].readings
    assert (old.of, champion.of) == ("version 1", "version 2 (champion)")
    assert old.value == pytest.approx(95.0)
    assert champion.value == pytest.approx(300.0)  # half way between 90 and 100 of 100
    assert (champion.tail_name, champion.tail) == ("p99", pytest.approx(380.0))
    assert champion.baseline == 50.0
    assert [old.is_met, champion.is_met] == [None, False]  # the old one does not serve any more
    assert found["M1"].is_met is False
    median = found["M2"].readings[0]
    assert (median.value, median.tail_name) == (pytest.approx(1000 * 0.2 * 50 / 90), "p95")
    assert median.baseline == 20.0
    assert found["M1"].target == "at most 250 ms"
    assert found["M1"].window == "since the service started, 3 min"


def test_where_there_is_room_for_one_reading_it_is_the_first_that_misses_its_target() -> None:
    found = figures(service=SERVICE, **CHAMPION)
    assert [found[name].shown.of for name in ("M1", "M4", "M5", "M6")] == [  # type: ignore[union-attr]
        "version 2 (champion)",
        "version 2",
        "class bolt",
        "",
    ]
    assert found["M7"].shown is None


def test_throughput_is_a_mean_since_the_start_with_a_row_for_each_version() -> None:
    readings = figures(service=SERVICE)["M3"].readings
    assert [(one.of, one.value, one.is_met) for one in readings] == [
        ("", 2.0, None),
        ("version 1", 0.5, None),
        ("version 2", 0.5, None),
    ]


def test_iou_is_told_with_its_floor_its_worst_class_and_the_champion_before() -> None:
    found = figures(**CHAMPION)
    (mean,) = found["M4"].readings
    assert (mean.value, mean.tail, mean.tail_name) == (0.75, 0.55, "worst class")
    assert mean.baseline == pytest.approx(0.75)
    assert mean.is_met is True
    bolt, nut = found["M5"].readings
    assert (bolt.of, bolt.baseline, bolt.tail_name) == ("class bolt", 0.8, "lower bound (95%)")
    assert bolt.tail == pytest.approx(0.8)
    assert nut.is_met is True  # its own floor is 0.5
    assert found["M5"].target == "at least 0.6 of each class; nut 0.5"
    assert found["M5"].window == f"40 test pictures of data-v2, judged 2026-03-01 12:00 UTC; {NO_LABELS}"


def test_iou_is_told_without_the_evidence_that_another_machine_keeps() -> None:
    found = figures(**{**CHAMPION, "evidence": None})
    (mean,) = found["M4"].readings
    assert (mean.value, mean.tail, mean.baseline) == (0.75, None, None)
    assert [one.value for one in found["M5"].readings] == [0.9, 0.55]
    assert found["M5"].window == f"data-v2, judged 2026-03-01 12:00 UTC; {NO_LABELS}"


def test_the_error_rate_counts_500_and_above_and_tells_refusals_beside_it() -> None:
    whole, *versions = figures(service=SERVICE)["M6"].readings
    assert (whole.value, whole.tail, whole.is_met) == (0.5, 1.5, False)
    assert {one.of: one.value for one in versions} == {
        "version 1": 0.0,
        "version 2": 2.0,
        "before a model was chosen": 0.0,
    }


@pytest.mark.parametrize(("percent", "is_met"), [(59.9, False), (60.0, True), (80.0, True), (97.0, False)])
def test_a_card_should_work_but_not_be_full(percent: float, is_met: bool) -> None:
    (reading,) = figures(gpus=(Gpu("0", percent),))["M7"].readings
    assert (reading.of, reading.is_met) == ("GPU 0", is_met)


def test_a_card_that_does_not_tell_its_load_is_not_called_absent() -> None:
    figure = figures(gpus=(Gpu("0", None, 1.0, 2.0),))["M7"]
    assert figure.missing == "the card does not tell its load"


def test_memory_is_told_of_each_process_and_card_against_its_own_limit() -> None:
    cards = (Gpu("0", 70.0, 30.0, 40.0),)
    found = figures(service=SERVICE, memory_limit_bytes=1000.0 * 2**20, gpus=cards)["M8"]
    process, card = found.readings
    assert (process.of, process.value, process.tail, process.is_met) == ("process 17", 95.0, 950.0, False)
    assert (card.of, card.value, card.is_met) == ("memory of GPU 0", 75.0, True)


def test_iou_estimated_in_production_is_told_beside_the_judged_one_and_a_refusal_is_no_number() -> None:
    def estimate(name: str, **numbers: Any) -> QualityEstimate:
        nothing: dict[str, Any] = {"value": None, "low": None, "high": None, "refused_because": "too few"}
        return QualityEstimate(
            class_name=name, metric="mask_iou", confidence=0.9, num_pictures=40, **(numbers or nothing)
        )

    bolt = estimate("bolt", value=0.7, low=0.65, high=0.75)
    undecided = estimate("nut", value=0.5, low=0.4, high=0.6)
    at, record = judged(1, 0.45)
    drift = ((at, record.model_copy(update={"estimates": (bolt, undecided, estimate("gear"))})),)
    readings = figures(**CHAMPION, drift=drift)["M5"].readings[2:]
    told = [(one.of, one.value, one.tail, one.baseline, one.is_met) for one in readings]
    assert told == [
        ("class bolt, estimated in production", 0.7, 0.65, 0.9, True),
        ("class nut, estimated in production", 0.5, 0.4, 0.55, None),
        ("class gear, estimated in production: refused, too few", None, None, None, None),
    ]


def test_the_drift_score_is_told_beside_those_of_the_windows_before() -> None:
    drift = (judged(1, 0.45, "drift"), *(judged(10 + number, 0.1 + 0.01 * number) for number in range(5)))
    figure = figures(champion="2", drift=drift)["M9"]
    (reading,) = figure.readings
    assert (reading.value, reading.is_met) == (0.45, False)
    assert (reading.tail, reading.tail_name) == (pytest.approx(0.14), "p95 of 5 windows before")
    assert reading.baseline == pytest.approx(0.12)
    assert figure.window == "120 samples, judged 2026-03-01 11:59 UTC: drift"


@pytest.mark.parametrize("score", [None, 0.2])
def test_an_inconclusive_window_keeps_no_target_whatever_the_one_before_said(score: float | None) -> None:
    undecided = with_only(
        DriftJudged, score=score, outcome="inconclusive", num_samples=120, reason="noise is missing in 60 %"
    )
    figure = figures(champion="2", drift=((NOON, undecided), judged(10, 0.1)))["M9"]
    (reading,) = figure.readings
    assert (reading.value, reading.is_met, figure.is_met) == (score, None, None)
    assert reading.of == "version 2: inconclusive, noise is missing in 60 %"
    assert figure.window.endswith(": inconclusive")


def test_labels_of_production_are_told_by_class_beside_what_was_estimated_before() -> None:
    checked = (
        with_only(
            CheckedQuality, class_name="bolt", value=0.8, low=0.7, high=0.9, num_labelled=12, estimate=0.75
        ),
        with_only(CheckedQuality, class_name="nut", value=0.45, low=0.4, high=0.55, num_labelled=9),
        with_only(CheckedQuality, class_name="gear", value=None, refused_because="1 picture shows it"),
    )
    about = {"data_tag": "data-v3", "num_random": 14}
    old, new = (with_only(QualityMeasured, **about, checked=one) for one in (checked[:1], checked))
    without = with_only(QualityMeasured, data_tag="data-v4", num_random=0)
    found = figures(**CHAMPION, quality=((NOON, old), (NOON, new), (NOON, without)))["M5"]
    bolt, nut, gear = found.readings[2:]
    assert (bolt.of, bolt.value, bolt.baseline) == ("class bolt, by labels of production", 0.8, 0.75)
    assert (bolt.tail, bolt.tail_name, bolt.baseline_name) == (
        0.7,
        "lower end (90%, 12 pictures)",
        "estimated before",
    )
    assert [bolt.is_met, nut.is_met, gear.is_met] == [True, None, None]  # of nut 0.5 is asked
    assert (gear.of, gear.value) == ("class gear, by labels of production: refused, 1 picture shows it", None)
    assert found.window.endswith(
        "14 production pictures drawn at random, labelled in data-v3, measured 2026-03-01 12:00 UTC"
    )
    assert "labels of pictures drawn at random" in found.source


def test_a_drift_verdict_from_before_scores_were_kept_gives_no_score() -> None:
    assert figures(champion="2", drift=(judged(1, None),))["M9"].readings == ()


def test_false_positives_are_told_by_class_with_the_champion_before_and_what_people_said() -> None:
    feedback = (Judged("2", 40, 10), Judged("1", 0, 3))
    whole, bolt, nut, people = figures(**CHAMPION, feedback=feedback)["M10"].readings
    assert (whole.value, whole.tail, whole.is_met) == (0.2, 1.0, True)
    assert (bolt.value, bolt.baseline) == (pytest.approx(0.25), pytest.approx(1.0))
    assert (nut.value, nut.baseline, nut.is_met) == (pytest.approx(1.0), None, True)
    assert (people.of, people.value) == ("answers of version 2 that people judged", 0.25)


def test_a_class_of_which_no_detection_is_right_is_not_passed_over() -> None:
    evidence = CHAMPION["evidence"]
    broken = JudgedEvidence(**{**vars(evidence), "candidate_diagnosis": diagnosis(bolt=0.8, nut=0.0)})
    whole, _, nut = figures(**{**CHAMPION, "evidence": broken})["M10"].readings
    assert whole.tail is None
    assert (nut.of, nut.value, nut.is_met) == ("class nut: no detection is right", None, False)
