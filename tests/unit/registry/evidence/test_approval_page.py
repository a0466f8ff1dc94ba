from __future__ import annotations

from dataclasses import replace

import pytest

from maskloop.records.kinds import Outcome
from maskloop.settings.workspace_settings import GateSettings
from registry.approval.decision_status import DecisionStatus
from registry.evidence.approval_page import MAX_LINES, DriftCause, Line, Origin, compare_gates, render_page
from registry.evidence.judged_evidence import Change, Panel, ShownPicture
from tests.fakes.approval_pages import (
    AT,
    Reader,
    approval_page,
    check,
    drop_check,
    evidence,
    panels,
    rollout,
    row,
    source_row,
    verdict,
)

NASTY = "nut|<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def read(**facts: object) -> Reader:
    return Reader(render_page(approval_page(**facts)))


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("pass", "✓ The gates pass this candidate"),
        ("inconclusive", "? The gates cannot tell: a person has to decide"),
        ("fail", "✗ The gates fail this candidate"),
    ],
)
def test_the_outcome_comes_first_as_a_sign_and_in_words(outcome: Outcome, words: str) -> None:
    page = read(verdict=verdict(check(outcome=outcome, reason="because of this")))
    assert words in page.text[:400]
    assert "because of this" in page.text


def test_a_reader_of_the_first_lines_knows_the_decision_the_loss_the_traffic_and_the_standing() -> None:
    rows = (row("bolt", "pass", 0.01), row("nut", "pass", 0.04))
    checks = (drop_check("bolt", 0.01), drop_check("nut", 0.04))
    top = read(verdict=verdict(*checks), evidence=evidence(*rows), champion_version="6").text[:700]
    assert "Decide whether version 7 may serve in place of version 6. How to decide" in top
    assert "It passes all 2 gates." in top
    assert "The largest loss is that of nut: 0.040 IoU (change between -0.030 and +0.010)." in top
    assert "240 pictures of production were shown to both" in top
    assert "? It waits for a person's decision." in top


def test_what_did_not_pass_comes_before_everything_else_and_only_once() -> None:
    doubt = drop_check("washer", 0.09, "inconclusive", source="belt camera 2")
    source = source_row("belt camera 2", "washer", 0.09, "inconclusive")
    page = read(
        verdict=verdict(check("iou.mean"), drop_check("washer", -0.02), doubt),
        evidence=evidence(row("washer", "pass", -0.02), source_rows=(source,)),
    )
    assert page.text.index("The change of washer belt camera 2") < page.text.index("2 of 3 gates passed")
    first_lines = page.text.partition("Classes, worst first")[0]
    assert first_lines.count("washer") == 1, "the same loss is not said again"


def test_a_loss_on_one_source_is_named_even_where_every_class_gained_over_all() -> None:
    top = read(
        verdict=verdict(drop_check("bolt", -0.1), drop_check("bolt", 0.041, source="belt camera 1")),
        evidence=evidence(row(drop=-0.1), source_rows=(source_row("belt camera 1", "bolt", 0.041),)),
    ).text[:500]
    assert (
        "The largest loss is that of bolt on belt camera 1: 0.041 IoU (change between -0.071 and -0.021)."
        in top
    )
    assert "gained" not in top


def test_evidence_of_an_older_version_without_sources_still_names_the_loss_of_a_source() -> None:
    checks = (drop_check("bolt", -0.1), drop_check("bolt", 0.041, source="belt camera 1"))
    top = read(verdict=verdict(*checks), evidence=evidence(row(drop=-0.1))).text[:500]
    assert "The largest loss: the change of bolt belt camera 1." in top
    assert "gained" not in top


def test_where_every_class_gained_on_every_source_the_smallest_gain_is_named() -> None:
    page = read(
        verdict=verdict(drop_check("gear", -0.119), drop_check("gear", -0.05, source="belt camera 2")),
        evidence=evidence(
            row("gear", drop=-0.119), source_rows=(source_row("belt camera 2", "gear", -0.05),)
        ),
    )
    said = "Every class gained, on every source; gear on belt camera 2 least: +0.050 IoU"
    assert f"{said} (change between +0.020 and +0.070)." in page.text


def test_many_doubts_are_counted_in_the_first_lines_and_listed_below() -> None:
    checks = [drop_check(f"class {number}", 0.2, "fail") for number in range(9)]
    text = read(verdict=verdict(*checks), evidence=None).text
    assert "And 3 more." in text[:900]
    assert text.count("the change of class 8") == 1


def test_figures_by_source_are_a_table_worst_first_with_the_limit_in_words() -> None:
    rows = (source_row("belt 1", "", 0.01), source_row("belt 2", "nut", 0.09, "inconclusive"))
    text = read(verdict=verdict(drop_check("nut", 0.09)), evidence=evidence(source_rows=rows)).text
    table = text.partition("By source, worst first")[2]
    assert table.index("? cannot tell belt 2 nut 0.710 0.800 -0.090 -0.120 … -0.070 40") < table.index(
        "✓ pass belt 1 mean"
    )
    assert "A loss passes up to 0.050 as measured and up to 0.100 at the lower end of the interval" in text


def test_the_pages_of_the_workspace_are_linked_from_the_copy_that_lies_there_only() -> None:
    beside = Reader(render_page(approval_page(), beside={"the loop": "../../loop.html"}))
    assert "../../loop.html" in beside.addresses
    assert not any("loop.html" in address for address in read().addresses)


def test_the_worst_class_is_the_first_of_the_table() -> None:
    rows = (row("bolt", "pass"), row("nut", "fail"), row("gear", "inconclusive"))
    text = read(evidence=evidence(*rows)).text.partition("Classes, worst first")[2]
    assert text.index("nut") < text.index("gear") < text.index("bolt")
    assert "0.780 … 0.840" in text, "the interval of the candidate's own figure"


def test_the_page_shows_what_each_side_saw_beside_each_other() -> None:
    shown = ShownPicture("lost most, 003.png", tuple(panels("annotated", "champion", "candidate")))
    page = read(evidence=evidence(pictures=(shown,)), rollout=None)
    assert page.tags.count("img") == 3
    assert "annotated champion candidate" in page.text


def test_the_shadow_is_told_in_questions_with_the_times_of_both() -> None:
    text = read().text
    assert "Does it see the same things, with the same masks? mean agreement: 0.91" in text
    assert "champion took 40 ms, 95 % within 55 ms, the challenger 44 ms, 95 % within 61 ms" in text
    assert "· nothing against it Does it fail where the champion answers?" in text
    assert "champion: 4 found" in text


def test_a_failing_check_of_the_rollout_comes_before_those_that_hold() -> None:
    checks = (
        check("agreement"),
        check("count.fewer", "fail", "it misses a lot"),
        check("errors", "inconclusive"),
    )
    text = read(rollout=rollout(checks=checks, outcome="fail")).text.partition("What the shadow")[2]
    assert text.index("it misses a lot") < text.index("Does it see the same things")
    assert "it is worse than the champion" in text


@pytest.mark.parametrize("without", [None, rollout(num_compared=0, checks=(), outcome="inconclusive")])
def test_without_pictures_of_production_the_page_says_so(without: object) -> None:
    assert "No shadow traffic yet" in read(rollout=without).text


def test_a_page_without_anything_that_can_be_missing_is_still_a_page() -> None:
    page = read(
        verdict=verdict(champion=False),
        evidence=None,
        gate_changes=None,
        policy_now="",
        rollout=None,
        drift=None,
        reason="drift",
        origins=(),
        history=(),
    )
    assert "The figures by class were not kept" in page.text
    assert "No pictures were kept" in page.text
    assert "cannot be told" in page.text
    assert "The drift verdict behind it is not in the ledger" in page.text
    assert "none yet" in page.text, "no champion"


def test_a_first_model_is_compared_with_nobody() -> None:
    first = replace(row(), champion_iou=None, drop=None, drop_low=None, drop_high=None)
    page = read(
        evidence=evidence(first, champion=None, data=None), verdict=verdict(champion=False), rollout=None
    )
    assert "lost most" not in page.text[:400]
    assert "– – –" in page.text


def test_the_drift_that_asked_is_named_with_its_features_and_its_page() -> None:
    cause = DriftCause(
        Line(AT, "maskloop", "production has drifted (120 samples)"),
        tuple(f"feature_{number}" for number in range(11)),
        ".maskloop/reports/drift/w1/index.html",
        route="#/experiments/1/runs/r/artifacts/drift/index.html",
        url="http://127.0.0.1:5000/#/experiments/1/runs/r/artifacts/drift/index.html",
    )
    page = read(reason="drift", drift=cause)
    assert "production has drifted (120 samples)" in page.text
    assert "feature 0, feature 1" in page.text
    assert "and 3 more" in page.text
    assert cause.url in page.addresses
    assert ".maskloop/reports/drift/w1/index.html" in page.text


def test_gates_edited_since_the_verdict_are_named_at_the_top_and_explained() -> None:
    page = read(gate_changes=("min_mean_iou was 0.7 and is 0.6 now",), policy_now="q" * 64)
    assert "! The gates were edited since the verdict: min_mean_iou was 0.7 and is 0.6 now" in page.text[:500]
    assert "This verdict counts by the gates of its time ( pppppppppppp ; now qqqqqqqqqqqq )" in page.text
    assert "are those of the verdict" in read().text


def test_every_check_is_told_in_the_words_of_its_gate_and_an_unknown_one_by_its_name() -> None:
    checks = [check(name) for name in ("iou.class.bolt.m8", "drop.source.belt 2", "latency_p95", "glow.nut")]
    text = read(verdict=verdict(*checks)).text
    for title in ("IoU of bolt.m8", "largest loss of IoU on belt 2", "p95 latency (ms)", "glow.nut"):
        assert title in text


def test_edited_gates_are_told_setting_by_setting() -> None:
    then = GateSettings(max_latency_p95_ms=80).model_dump(mode="json")
    assert compare_gates(then, GateSettings(max_latency_p95_ms=80)) == ()
    assert compare_gates(then, GateSettings(critical_classes=("nut",))) == (
        "critical_classes was [] and is ['nut'] now",
        "max_latency_p95_ms was 80.0 and is off now",
    )
    assert compare_gates(then, None) == ("the gates were removed",)


def test_what_changed_in_the_data_is_counted_by_source_and_class() -> None:
    text = read(data_came=("data-v3: 43 new or relabelled pictures from belt camera 2, 400 in all",)).text
    assert "data-v3: 43 new or relabelled pictures" in text
    assert "belt camera 2 40 3 1" in text
    assert "bolt 20 2 100 123" in text


def test_many_sources_are_cut_and_counted() -> None:
    data = evidence().data
    assert data is not None
    many = replace(data, by_source=tuple(Change(f"camera {n}", 1, 0, 0) for n in range(30)))
    text = read(evidence=evidence(data=many)).text
    assert "camera 11" in text
    assert "camera 12" not in text
    assert "and 18 more sources" in text


# --- what to do --------------------------------------------------------------------------------------


def test_an_open_page_says_how_to_decide_and_who_may_not() -> None:
    text = read(four_eyes_against="rita").text
    assert "rita asked for this training and cannot approve it" in text
    assert "approved_by" in text
    assert "maskloop approve 7 --by NAME" in text
    assert "Four eyes" not in read().text


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (DecisionStatus("yes", "It is approved", "", next="take back"), "anybody can take it back"),
        (DecisionStatus("yes", "It serves", "", next="roll back"), "maskloop rollback"),
        (DecisionStatus("no", "It was rejected", ""), "There is nothing to decide any more"),
    ],
)
def test_a_decided_page_says_what_can_still_be_done(standing: DecisionStatus, words: str) -> None:
    text = read(decision=standing).text
    assert words in text
    assert "maskloop approve" not in text


def test_what_the_gates_fail_nobody_can_approve() -> None:
    page = read(
        verdict=verdict(check(outcome="fail")), decision=DecisionStatus("no", "It cannot be approved", "")
    )
    assert "Nobody can approve a version the gates failed" in page.text


# --- safe, small, on its own -------------------------------------------------------------------------


def test_names_from_the_data_and_from_people_become_no_markup() -> None:
    shown = ShownPicture(NASTY, (Panel(NASTY, "data:image/jpeg;base64,AA=="),))
    cause = DriftCause(Line(AT, NASTY, NASTY), (NASTY,), NASTY)
    nasty = approval_page(
        verdict=verdict(check(name=f"iou.class.{NASTY}", outcome="fail", reason=NASTY)),
        evidence=evidence(row(NASTY), pictures=(shown,), machine=NASTY),
        rollout=rollout(pictures=(shown,), checks=(check(NASTY, "fail", NASTY),), outcome="fail"),
        asked=Line(AT, NASTY, NASTY),
        reason="drift",
        drift=cause,
        decisions=(Line(AT, NASTY, NASTY),),
        history=(Line(AT, NASTY, NASTY),),
        origins=(Origin(NASTY, NASTY, NASTY),),
        data_came=(NASTY,),
        gate_changes=(NASTY,),
        decision=DecisionStatus("open", NASTY, NASTY, next="decide"),
        four_eyes_against=NASTY,
    )
    page = Reader(render_page(nasty))
    assert "script" not in page.tags
    assert page.tags.count("img") == 2
    assert page.text.count("alert(1)") >= 15
    assert page.addresses.count("x") == 0


def test_the_page_needs_no_network() -> None:
    page = read()
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_a_long_history_is_cut_and_the_rest_is_counted() -> None:
    lines = tuple(Line(AT, "maskloop", f"thing {number} happened") for number in range(MAX_LINES + 7))
    text = read(history=lines).text
    assert "7 earlier entries" in text
    assert "thing 6 happened" not in text
    assert f"thing {MAX_LINES + 6} happened" in text


def test_the_same_facts_make_the_same_page() -> None:
    assert render_page(approval_page()) == render_page(approval_page())
