"""What a rollout said for the approval page: from the pairs, from the kept report, or from the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.loop.reconcile import reconcile
from flows.pages.evidence_pack import made_from
from flows.pages.shadow_evidence import FILE, keep_report, report_rollout, stage_of
from flows.workspace.telling import SilentTeller
from maskloop.state.loop_state import Rollout
from registry.evidence.approval_page import RolloutReport
from serving.rollout.analysis import Analysis
from serving.rollout.checks import CHECKS
from serving.rollout.pairs import KeptPair
from tests.fakes.loop_world import World
from tests.fakes.rollout_world import make_world, rollout_of, seen_by_both, traffic

CYCLE = "cycle-2"


class Listener(SilentTeller):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def shadow(tmp_path: Path) -> World:
    """Version 2 answers in the shadow of version 1; nothing has been compared yet."""
    return make_world(tmp_path)


def report(world: World, teller: Any = None) -> RolloutReport:
    analysis = world.app().analyse_rollout(rollout_of(world))
    told = teller or SilentTeller()
    return report_rollout(rollout_of(world), analysis, "2", world.pairs, world.workspace, told)


def stage(world: World) -> list[str]:
    return stage_of(world.app().analyse_rollout(rollout_of(world)))


def add(world: World, pair: KeptPair, **changes: Any) -> None:
    """Add a pair as another request, with some of its fields changed."""
    number = f"extra {len(world.pairs.pairs)}"
    world.pairs.add(replace(pair, comparison=replace(pair.comparison, request_id=number), **changes))


def kept_file(world: World) -> Path:
    return world.workspace.verdict_dir("2") / FILE


# --- while pairs are there -----------------------------------------------------------------------------


def test_before_the_first_picture_the_report_names_the_phase_and_asks_every_question(shadow: World) -> None:
    found = report(shadow)
    assert (found.champion_version, found.phase, found.share_percent) == ("1", "shadow", 0.0)
    assert (found.num_compared, found.checks, found.outcome) == (0, (), "inconclusive")
    assert (found.champion, found.challenger, found.pictures) == (None, None, ())
    assert found.questions == {check.name: check.question for check in CHECKS}
    assert set(found.rare) < set(found.questions)


def test_latencies_are_those_of_the_compared_pictures(shadow: World) -> None:
    traffic(shadow, 20, champion_s=0.010, challenger_s=0.030)
    found = report(shadow)
    assert found.champion is not None
    assert found.challenger is not None
    assert (found.champion.p50_ms, found.champion.p95_ms) == pytest.approx((10, 10))
    assert (found.challenger.p50_ms, found.challenger.p95_ms) == pytest.approx((30, 30))
    assert found.num_compared == 20


def test_the_three_pictures_with_the_least_agreement_are_shown_the_worst_first(shadow: World) -> None:
    for number, agreement in enumerate((0.9, 0.2, 0.8, 0.4, 0.6)):
        shadow.pairs.add(seen_by_both(number, agreement=agreement))
    captions = [picture.caption for picture in report(shadow).pictures]
    assert captions == [
        "agreement 0.20, request r1",
        "agreement 0.40, request r3",
        "agreement 0.60, request r4",
    ]


def test_pictures_on_which_both_agree_wholly_are_not_shown(shadow: World) -> None:
    traffic(shadow, 5, agreement=1.0)
    assert report(shadow).pictures == ()


def test_a_picture_without_an_answer_of_the_challenger_says_why_and_comes_first(shadow: World) -> None:
    traffic(shadow, 2, agreement=0.5)
    failed = seen_by_both(2, challenger_error="it ran out of memory", agreement=0.0)
    add(shadow, failed, challenger=None)
    first = report(shadow).pictures[0]

    assert first.caption.startswith("the challenger had no answer, request extra")
    champion, challenger = first.panels
    assert champion.title == "champion: 2 found"
    assert challenger.title == "challenger: no answer (it ran out of memory)"


def test_pairs_whose_picture_is_not_kept_are_left_out(shadow: World) -> None:
    add(shadow, seen_by_both(0, agreement=0.1), picture=None)
    add(shadow, seen_by_both(1, agreement=0.3))
    assert [picture.caption[:14] for picture in report(shadow).pictures] == ["agreement 0.30"]


def test_a_picture_that_cannot_be_drawn_is_reported_and_the_others_are_shown(shadow: World) -> None:
    listener = Listener()
    add(shadow, seen_by_both(0, agreement=0.1), picture=b"not a picture")
    add(shadow, seen_by_both(1, agreement=0.3))
    assert len(report(shadow, listener).pictures) == 1
    assert [said.partition(":")[0] for said in listener.said] == [
        "one picture of the rollout cannot be shown"
    ]


# --- when the page should be written again ---------------------------------------------------------------


def test_the_page_is_due_again_when_the_pictures_have_doubled(shadow: World) -> None:
    assert stage(shadow) == []
    stages = []
    for _ in range(16):
        traffic(shadow, 1)
        stages.append(stage(shadow)[0])
    assert stages == ["1", *2 * ["2"], *4 * ["3"], *8 * ["4"], "5"]


def test_the_page_is_due_again_when_a_check_comes_to_a_result(shadow: World) -> None:
    traffic(shadow, 130)
    before = stage(shadow)
    traffic(shadow, 120, agreement=0.0)
    after = stage(shadow)
    assert before[0] == after[0], "the number of pictures alone would not ask for it"
    assert before != after


def test_the_page_of_a_cycle_without_a_rollout_is_made_from_no_analysis(shadow: World) -> None:
    asked: list[str] = []

    def analyse(rollout: Rollout) -> Analysis:
        asked.append(rollout.cycle_id)
        return Analysis()

    ledger, state, settings = shadow.ledger, shadow.state, shadow.workspace.settings
    made_from(ledger, state.cycles[CYCLE], replace(state, rollouts={}), settings, analyse)
    assert asked == []
    made_from(ledger, state.cycles[CYCLE], state, settings, analyse)
    assert asked == [CYCLE]


# --- when the pairs are gone -------------------------------------------------------------------------------


def test_the_kept_report_stands_in_for_the_pairs_with_its_pictures_and_latencies(shadow: World) -> None:
    traffic(shadow, 20, agreement=0.5)
    seen = report(shadow)
    keep_report(shadow.workspace, "2", seen)
    shadow.pairs.forget(CYCLE)

    kept = report(shadow)
    assert kept.num_compared == 20
    assert kept.pictures == seen.pictures
    assert (kept.champion, kept.challenger) == (seen.champion, seen.challenger)
    assert kept.checks == seen.checks


def test_a_kept_report_takes_phase_and_share_from_the_ledger(shadow: World) -> None:
    traffic(shadow, 20, agreement=0.5)
    keep_report(shadow.workspace, "2", replace(report(shadow), share_percent=77.0, questions={}, rare=()))
    shadow.pairs.forget(CYCLE)

    now = report(shadow)
    assert now.share_percent == 0.0
    assert set(now.questions) == {check.name for check in CHECKS}
    assert now.rare


def test_checks_of_the_ledger_replace_those_of_an_older_kept_report(shadow: World) -> None:
    traffic(shadow, 10)
    early = report(shadow)
    traffic(shadow, 90, agreement=0.0)
    reconcile(shadow.app())
    moved = rollout_of(shadow).moved
    assert moved is not None
    assert moved.num_compared > early.num_compared
    keep_report(shadow.workspace, "2", early)
    shadow.pairs.forget(CYCLE)

    now = report(shadow)
    assert (now.num_compared, now.checks, now.outcome) == (moved.num_compared, moved.checks, "fail")
    assert now.champion == early.champion, "latencies are in the kept report only"


def test_a_report_that_holds_no_more_than_the_ledger_is_not_kept(shadow: World) -> None:
    keep_report(shadow.workspace, "2", report(shadow))
    assert not kept_file(shadow).exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"phase": "asleep"}'])
def test_a_kept_report_that_cannot_be_read_is_passed_over(shadow: World, content: str) -> None:
    kept_file(shadow).parent.mkdir(parents=True, exist_ok=True)
    kept_file(shadow).write_text(content, encoding="utf-8")
    found = report(shadow)
    assert (found.num_compared, found.phase, found.champion) == (0, "shadow", None)
