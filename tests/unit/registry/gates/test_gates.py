from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.instances import IouTable
from maskloop.errors import ConfigurationError, RefusedError
from maskloop.records.kinds import Check, Outcome
from maskloop.settings.workspace_settings import GateSettings
from registry.gates.gate import Contest, Finding, Gate
from registry.gates.gates import GATES as TABLE
from registry.gates.gates import SLICE, find_gate, judge, title_of
from registry.gates.outcomes import outcome_of
from registry.gates.own_figures import PRECONDITIONS
from tests.fakes.iou_tables import iou_table, simulated_pair

GATES = GateSettings(resamples=400)


def verdict(
    candidate: IouTable,
    champion: IouTable | None = None,
    gates: GateSettings = GATES,
    latency_p95_ms: float | None = None,
) -> tuple[Outcome, dict[str, Check]]:
    checks = judge(candidate, champion, gates, latency_p95_ms=latency_p95_ms, seed=0)
    return outcome_of(checks), {check.name: check for check in checks}


def good(num_pictures: int = 40, *, iou: float = 0.9, sources: tuple[str, ...] = ()) -> IouTable:
    return iou_table([[iou, iou]] * num_pictures, sources=sources)


# --- outcomes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("", "fail"),
        ("p", "pass"),
        ("ppi", "inconclusive"),
        ("pif", "fail"),
    ],
)
def test_the_worst_check_decides_and_no_checks_fail(outcomes: str, expected: Outcome) -> None:
    names = {"p": "pass", "i": "inconclusive", "f": "fail"}
    checks = [
        Check.model_validate(
            {"name": "x", "outcome": names[letter], "measured": None, "required": None, "reason": ""}
        )
        for letter in outcomes
    ]
    assert outcome_of(checks) == expected


def test_a_good_first_model_passes() -> None:
    outcome, checks = verdict(good())
    assert outcome == "pass"
    assert set(checks) == {"iou.mean", "iou.class.a", "iou.class.b", "false_positives"}
    assert checks["iou.mean"].measured == pytest.approx(0.9)


# --- floors --------------------------------------------------------------------------------------


def test_the_mean_floor_is_over_the_critical_classes_only() -> None:
    table = iou_table([[0.95, 0.65]] * 20)
    assert verdict(table, gates=replace_gates(min_mean_iou=0.9))[0] == "fail"
    critical = replace_gates(min_mean_iou=0.9, critical_classes=("a",))
    assert verdict(table, gates=critical)[0] == "pass"


def test_one_weak_class_fails_however_good_the_mean_is() -> None:
    outcome, checks = verdict(iou_table([[0.99, 0.59]] * 20))
    assert outcome == "fail"
    assert checks["iou.mean"].outcome == "pass"
    assert checks["iou.class.b"].outcome == "fail"


def test_a_class_can_have_its_own_floor() -> None:
    assert verdict(good(), gates=replace_gates(class_iou_floors={"b": 0.95}))[0] == "fail"


@pytest.mark.parametrize("setting", [{"critical_classes": ("x",)}, {"class_iou_floors": {"x": 0.5}}])
def test_a_class_nobody_evaluated_is_a_configuration_error(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="not evaluated: x"):
        verdict(good(), gates=replace_gates(**setting))


def test_too_few_instances_of_a_class_are_inconclusive() -> None:
    counts = np.array([[5, 1]] * 19)
    outcome, checks = verdict(iou_table([[0.9, 0.9]] * 19, num_instances=counts))
    assert outcome == "inconclusive"
    assert checks["iou.class.b"].reason == "there are 19 test instances of b; 20 are needed"


def test_a_class_without_instances_is_inconclusive_and_so_is_the_mean() -> None:
    outcome, checks = verdict(iou_table([[0.9, 0.0]] * 20, num_instances=np.array([[5, 0]] * 20)))
    assert outcome == "inconclusive"
    assert checks["iou.mean"].outcome == "inconclusive"
    assert checks["iou.class.b"].measured is None


@pytest.mark.parametrize("num_pictures", [0, 4])
def test_too_few_pictures_are_inconclusive(num_pictures: int) -> None:
    outcome, checks = verdict(iou_table(np.full((num_pictures, 2), 0.9)))
    assert outcome == "inconclusive"
    assert set(checks) == {"pictures"}


def test_no_classes_never_pass() -> None:
    assert verdict(iou_table(np.zeros((20, 0))))[0] == "inconclusive"


# --- latency and false positives -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(99.0, "pass"), (101.0, "fail"), (None, "fail"), (float("nan"), "fail"), (-1.0, "fail")],
)
def test_a_latency_budget_needs_a_measurement_within_it(measured: float | None, expected: Outcome) -> None:
    gates = replace_gates(max_latency_p95_ms=100.0)
    assert verdict(good(), gates=gates, latency_p95_ms=measured)[0] == expected


def test_too_many_false_positives_fail() -> None:
    table = iou_table([[0.9, 0.9]] * 20, false_positives=6)
    outcome, checks = verdict(table)
    assert outcome == "fail"
    assert checks["false_positives"].measured == pytest.approx(1.2)
    assert verdict(table, gates=replace_gates(max_false_positives_per_true_positive=None))[0] == "pass"


def test_a_model_without_a_true_positive_fails_the_false_positive_limit() -> None:
    assert verdict(iou_table([[0.4, 0.4]] * 20))[1]["false_positives"].outcome == "fail"


# --- broken models -------------------------------------------------------------------------------


def with_value(table: IouTable, name: str, value: float) -> IouTable:
    array = getattr(table, name).copy()
    array[3, 0] = value
    return replace(table, **{name: array})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iou_sum", float("nan")),
        ("iou_sum", float("inf")),
        ("iou_sum", -1.0),
        ("iou_sum", 5.1),
        ("num_instances", -1),
        ("num_true_positives", 6),
        ("num_false_positives", -1),
    ],
)
def test_impossible_values_fail_in_either_model(name: str, value: float) -> None:
    broken = with_value(good(), name, value)
    assert verdict(broken)[0] == "fail"
    assert verdict(good(), broken)[0] == "fail"


MODEL_DOUBLES: dict[str, tuple[list[float], Outcome]] = {
    "perfect": ([1.0, 1.0, 1.0], "pass"),
    "finds nothing": ([0.0, 0.0, 0.0], "fail"),
    "misses one class": ([0.9, 0.9, 0.0], "fail"),
    "swaps two classes": ([0.0, 0.0, 0.9], "fail"),
    "says the same box everywhere": ([0.12, 0.08, 0.1], "fail"),
    "as good as the champion": ([0.85, 0.85, 0.85], "pass"),
    "a little worse everywhere": ([0.82, 0.82, 0.82], "pass"),
    "much worse in one class, above the floors": ([0.95, 0.95, 0.65], "fail"),
}


@pytest.mark.parametrize("double", MODEL_DOUBLES)
def test_model_doubles_get_their_verdict(double: str) -> None:
    ious, expected = MODEL_DOUBLES[double]
    champion = iou_table([[0.85, 0.85, 0.85]] * 40)
    assert verdict(iou_table([ious] * 40), champion)[0] == expected


# --- against the champion ------------------------------------------------------------------------


def test_a_certain_drop_fails_and_says_by_how_much() -> None:
    outcome, checks = verdict(iou_table([[0.9, 0.75]] * 40), good())
    assert outcome == "fail"
    assert checks["drop.class.b"].measured == pytest.approx(0.15)
    assert checks["drop.class.a"].outcome == "pass"
    assert checks["drop.class.b"].reason == (
        "the IoU of b fell by 0.150 (change between -0.150 and -0.150), over 200 instances; a loss passes up "
        "to 0.050 as measured and up to 0.100 at the lower end of the interval"
    )


def test_a_drop_in_few_instances_is_inconclusive_not_failed() -> None:
    counts = np.array([[5, 5]] + [[5, 0]] * 39)
    champion = iou_table([[0.9, 0.9]] * 40, num_instances=counts)
    candidate = iou_table([[0.9, 0.61]] * 40, num_instances=counts)
    assert verdict(candidate, champion)[1]["drop.class.b"].outcome == "inconclusive"


def test_a_small_measured_drop_that_could_be_a_large_one_is_inconclusive() -> None:
    """Now .4 better, now .4 worse: no drop on average, but 20 pictures cannot exclude one of .1."""
    candidate = iou_table([[0.5 + 0.4 * (-1) ** picture] for picture in range(20)])
    check = verdict(candidate, iou_table([[0.5]] * 20))[1]["drop.class.a"]
    assert check.measured == pytest.approx(0.0)
    assert check.outcome == "inconclusive"


def test_a_single_picture_cannot_show_that_a_class_has_not_dropped() -> None:
    """Its bootstrap interval has no width, which must not be taken for certainty."""
    counts = np.array([[5, 40]] + [[5, 0]] * 39)
    table = iou_table([[0.9, 0.9]] * 40, num_instances=counts)
    assert verdict(table, table)[1]["drop.class.b"].outcome == "inconclusive"


def test_the_old_camera_cannot_be_paid_with_the_new_one() -> None:
    """Better on average, much worse on one source: forgetting."""
    sources = ("new",) * 60 + ("old",) * 20
    champion = iou_table([[0.70, 0.70]] * 60 + [[0.90, 0.90]] * 20, sources=sources)
    candidate = iou_table([[0.90, 0.90]] * 60 + [[0.70, 0.70]] * 20, sources=sources)
    outcome, checks = verdict(candidate, champion)
    assert outcome == "fail"
    assert checks["drop.class.a"].outcome == "pass"
    assert checks["drop.source.new"].outcome == "pass"
    assert checks["drop.source.old"].outcome == "fail"


def test_a_source_names_every_class_that_did_not_pass_there() -> None:
    sources = ("new",) * 20 + ("old",) * 20
    champion = iou_table([[0.9, 0.9, 0.9]] * 40, sources=sources)
    candidate = iou_table([[0.9, 0.9, 0.9]] * 20 + [[0.6, 0.7, 0.9]] * 20, sources=sources)
    reason = verdict(candidate, champion)[1]["drop.source.old"].reason
    assert reason.startswith("the IoU of a on old fell by 0.300")
    assert ", and likewise b;" in reason


def test_a_class_called_mean_is_not_taken_for_the_mean() -> None:
    table = iou_table([[0.9, 0.7]] * 20, class_names=("mean", "nut"))
    assert {"drop.mean", "drop.class.mean"} <= set(verdict(table, table)[1])


def test_a_single_source_is_not_judged_twice() -> None:
    assert not any(name.startswith("drop.source") for name in verdict(good(), good())[1])


def test_sources_too_small_to_judge_alone_are_judged_together() -> None:
    sources = ("big",) * 30 + ("s1", "s2", "s3", "s1", "s2", "s3")
    _, checks = verdict(good(36, sources=sources), good(36, sources=sources))
    together = checks["drop.source.(small sources together)"]
    assert together.outcome == "pass"
    assert "drop.source.s1" not in checks


def test_a_tiny_source_is_inconclusive_never_silent() -> None:
    sources = ("big",) * 30 + ("tiny",) * 2
    outcome, checks = verdict(good(32, sources=sources), good(32, sources=sources))
    assert outcome == "inconclusive"
    assert checks["drop.source.(small sources together)"].outcome == "inconclusive"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"class_names": ("a", "c")}, "classes"),
        ({"picture_ids": tuple(f"{i:064x}" for i in range(1, 41))}, "pictures"),
        ({"num_instances": np.full((40, 2), 6)}, "annotations"),
        ({"sources": ("other",) * 40}, "sources"),
        ({"score_threshold": 0.4}, "score thresholds"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(change: dict[str, Any], what: str) -> None:
    with pytest.raises(RefusedError, match=f"different {what}"):
        verdict(good(), replace(good(), **change))


def test_a_model_with_calibrated_thresholds_is_judged_beside_one_without() -> None:
    outcome, _ = verdict(replace(good(), score_threshold=(0.4, 0.6)), good())
    assert outcome == verdict(good(), good())[0]


def test_the_same_inputs_and_seed_give_the_same_checks() -> None:
    candidate, champion = simulated_pair(np.random.default_rng(5))
    first, again = (judge(candidate, champion, GATES, latency_p95_ms=None, seed=3) for _ in range(2))
    assert first == again


# --- the table -----------------------------------------------------------------------------------


def enough_of_each(contest: Contest, limit: float) -> Iterator[Finding]:
    for index, name in enumerate(contest.candidate.class_names):
        num = int(contest.candidate.num_true_positives[:, index].sum())
        yield Finding("pass" if num >= limit else "fail", num, f"{num} of {name} were found", name)


FOUND = Gate("found", "class", "pictures", "min_instances", "number of {} found", enough_of_each)


def test_a_gate_added_to_the_table_is_judged_for_each_of_its_subjects() -> None:
    checks = judge(good(), None, GATES, latency_p95_ms=None, seed=0, table=(*TABLE, FOUND))
    added = [check for check in checks if check.gate == "found"]
    assert [(check.name, check.subject) for check in added] == [("found.a", "a"), ("found.b", "b")]
    assert {(check.outcome, check.measured, check.required) for check in added} == {("pass", 200.0, 20.0)}
    assert checks[:-2] == judge(good(), None, GATES, latency_p95_ms=None, seed=0)


def test_a_gate_whose_setting_is_off_makes_no_check() -> None:
    off = replace(FOUND, setting="max_latency_p95_ms")
    checks = judge(good(), None, GATES, latency_p95_ms=None, seed=0, table=(off,))
    assert checks == ()


def test_every_check_carries_its_gate_and_subject() -> None:
    sources = ("new",) * 20 + ("old",) * 20
    _, checks = verdict(
        good(sources=sources),
        good(sources=sources),
        replace_gates(max_latency_p95_ms=9.0),  # every gate that is off by default
        latency_p95_ms=8.0,
    )
    for check in checks.values():
        gate = find_gate(check)
        assert gate is not None
        assert check.name == ".".join(part for part in (check.gate, check.subject) if part)
        assert bool(check.subject) == (gate.scope in ("class", "source"))
    assert {check.gate for check in checks.values()} == {gate.name for gate in TABLE}


def test_every_gate_reads_a_setting_that_there_is_and_has_words_for_its_subject() -> None:
    gates = (*PRECONDITIONS, *TABLE, SLICE)
    assert len({gate.name for gate in gates}) == len(gates)
    for gate in gates:
        assert gate.setting is None or gate.setting in GateSettings.model_fields
        assert ("{}" in gate.words) == (gate.scope in ("class", "source", "slice"))


def test_a_check_of_an_unknown_gate_is_told_by_its_name() -> None:
    unknown = Check(name="glow.nut", outcome="pass", measured=None, required=None, reason="")
    assert (find_gate(unknown), title_of(unknown)) == (None, "glow.nut")


# --- how often the rule errs (docs/adr/0004-gates.md) ---------------------------------------------


def outcomes(*, drop: float, num_pictures: int = 120, sources: tuple[str, ...] = ()) -> Counter[Outcome]:
    rng = np.random.default_rng(11)
    count: Counter[Outcome] = Counter()
    for seed in range(60):
        candidate, champion = simulated_pair(rng, num_pictures=num_pictures, drop=drop, sources=sources)
        checks = judge(candidate, champion, GATES, latency_p95_ms=None, seed=seed)
        count[outcome_of([check for check in checks if check.name.startswith("drop")])] += 1
    return count


def test_an_equal_model_passes_mostly_and_fails_almost_never() -> None:
    count = outcomes(drop=0.0)
    assert count["fail"] / 60 < 0.05
    assert count["pass"] / 60 > 0.75


def test_an_equal_model_is_not_failed_more_often_because_there_are_more_sources() -> None:
    sources = tuple("abcd"[index % 4] for index in range(120))
    assert outcomes(drop=0.0, sources=sources)["fail"] / 60 < 0.05


def test_a_drop_of_three_times_the_limit_never_passes() -> None:
    assert outcomes(drop=0.15)["pass"] == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([float("nan"), -1.0, 0.0, 0.3, 0.61, 1.0, 1.5]), min_size=6, max_size=6))
def test_nothing_that_is_not_finite_and_above_its_floor_passes(ious: list[float]) -> None:
    outcome, _ = verdict(iou_table([ious] * 10))
    if outcome == "pass":
        assert all(0.6 <= iou <= 1.0 for iou in ious)


def replace_gates(**changes: object) -> GateSettings:
    return GateSettings.model_validate({**GATES.model_dump(), **changes})
